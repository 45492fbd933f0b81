import json
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shvit_mobile.errors import InvalidValue
from shvit_mobile.images.imagenet import load_imagenet_classes
from shvit_mobile.images.label_files import read_labels

CATS = ("cat", "fire truck", "tench, Tinca tinca")


def read(folder, content: str | bytes, name: str = "labels.txt") -> tuple[str, ...]:
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    (folder / name).write_bytes(data)
    return read_labels(folder / name).labels


def refuse(folder, content: str | bytes) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        read(folder, content)
    assert caught.value.parameter == "labels"
    return caught.value


@pytest.mark.parametrize(
    "content",
    [
        "cat\nfire truck\ntench, Tinca tinca\n",
        "\ufeffcat\r\nfire truck\r\ntench, Tinca tinca",
        " cat \rfire truck\rtench, Tinca tinca\r\r",
        "0: cat\n1: fire truck\n2: tench, Tinca tinca\n",
        "2 tench, Tinca tinca\n0 cat\n1 fire truck\n",
        '0,cat\n1,fire truck\n2,"tench, Tinca tinca"\n',
        "0\tcat\n1\tfire truck\n2\ttench, Tinca tinca\n",
        "0. cat\n1. fire truck\n2. tench, Tinca tinca\n",
        "0) cat\n1) fire truck\n2) tench, Tinca tinca\n",
        "000: cat\n001: fire truck\n002: tench, Tinca tinca\n",
        "n00000001 cat\nn00000002 fire truck\nn01440764 tench, Tinca tinca\n",
        "0 n00000001 cat\n1 n00000002 fire truck\n2 n01440764 tench, Tinca tinca\n",
        'index,name\n0,cat\n2,"tench, Tinca tinca"\n1,fire truck\n',
        "class_id;class_name;count\n0;cat;7\n1;fire truck;8\n2;tench, Tinca tinca;9\n",
        'label\ncat\nfire truck\n"tench, Tinca tinca"\n',
        "cat,0\ntench, Tinca tinca,2\nfire truck,1\n",
        "cat 0\nfire truck 1\ntench, Tinca tinca 2\n",
        "tench, Tinca tinca\t2\ncat\t0\nfire truck\t1\n",
        "0|cat\n1|fire truck\n2|tench, Tinca tinca\n",
        'wnid,name\nn00000001,cat\nn00000002,fire truck\nn01440764,"tench, Tinca tinca"\n',
        "'cat'\n'fire truck'\n'tench, Tinca tinca'\n",
        json.dumps([[f"n{index:08}", name] for index, name in enumerate(CATS)]),
        json.dumps(CATS),
        json.dumps({"tench, Tinca tinca": 2, "cat": 0, "fire truck": 1}),
        json.dumps({"0": "cat", "2": "tench, Tinca tinca", "1": "fire truck"}),
        json.dumps({"cat": "0", "fire truck": "1", "tench, Tinca tinca": "2"}),
        json.dumps({str(i): [f"n{i:08}", name] for i, name in enumerate(CATS)}),
        json.dumps({"id2label": dict(enumerate(CATS)), "num_labels": 3}),
        json.dumps({"categories": [{"id": index, "name": name} for index, name in enumerate(CATS)]}),
        json.dumps([{"id": 1, "name": "fire truck"}, {"id": 0, "name": "cat"}, {"id": 2, "name": CATS[2]}]),
        "{0: 'cat',\n 1: 'fire truck',\n 2: 'tench, Tinca tinca'}",
    ],
)
def test_the_usual_forms_give_the_labels_in_the_order_of_the_logits(content, tmp_path):
    assert read(tmp_path, content) == CATS


def test_numeric_folder_names_in_class_to_idx_are_names(tmp_path):
    assert read(tmp_path, json.dumps({"0": 0, "1": 1, "10": 2, "2": 3})) == ("0", "1", "10", "2")


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ("0\n1\n10\n2\n", ("0", "1", "10", "2")),
        ("5 euro\n10 euro\n", ("5 euro", "10 euro")),
        ("n01440764\nn01443537\n", ("n01440764", "n01443537")),
        ("0: cat\ndog\n", ("0: cat", "dog")),
        ("class 0\nclass 1\n", ("class 0", "class 1")),
        ("boeing 747\nboeing 737\n", ("boeing 747", "boeing 737")),
        ("'tis\n'twas'\n", ("'tis", "'twas'")),
    ],
)
def test_lines_that_only_begin_like_numbers_are_names(content, labels, tmp_path):
    assert read(tmp_path, content) == labels


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1).map(str.strip).filter(bool),
        min_size=2,
        max_size=5,
        unique=True,
    ).filter(lambda names: not any(name[0] in '[{0123456789nlc"\ufeff' for name in names))
)
def test_names_of_any_characters_survive(names):
    with tempfile.TemporaryDirectory() as folder:
        assert read(Path(folder), "\n".join(names)) == tuple(names)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("ab:,;\t \"\r\n012[]{}'.nil", max_size=60).map(str.encode)))
def test_a_file_of_anything_is_read_or_refused(data):
    with tempfile.TemporaryDirectory() as folder, suppress(InvalidValue):
        (Path(folder) / "labels").write_bytes(data)
        labels = read_labels(Path(folder) / "labels").labels
        assert all(label.strip() == label != "" for label in labels)


def test_only_line_ends_separate_lines(tmp_path):
    assert read(tmp_path, "a\u2028b\nc\u2029d\n") == ("a\u2028b", "c\u2029d")
    for separator in "\x0b\x0c\x1c\x85":
        refuse(tmp_path, f"a{separator}b\nc\n")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("cat\n\ndog\n", "line 2"),
        ("1: cat\n2: dog\n", "count from 1"),
        ("1 cat\n2 dog\n", "count from 1"),
        ("0: cat\n2: dog\n", "no index 1"),
        ("0: cat\n0: dog\n", "occurs 2 times"),
        ("index,name\n0,cat\nx,dog\n", "line 3"),
        ("index,name\n0,cat\n1\n", "line 3"),
        ("[]", "no labels"),
        ("{}", "no names"),
        ("[1, 2]", "not of names"),
        ('["cat", "dog"', "not JSON"),
        ('{"cat": 0, "dog": 2}', "no index 1"),
        ('{"cat": 0, "dog": true}', "dog"),
        ('{"cat": 0, "dog": -1}', "dog"),
        ('{"0": "cat", "0": "dog"}', "more than once"),
        ('{"cat": 0.5, "dog": 1}', "0.5"),
        ('["cat", "\\ud800"]', "surrogate"),
        ('["cat", "dog\\u0007"]', "U+0007"),
        ('["cat", ""]', "empty"),
        ("[" * 100_000, "not JSON"),
        ("same\nsame\nsame\n", "All 3 labels"),
        ("chat\ncheval\nchev\xe2l\n".encode("latin-1"), "line 3 is not UTF-8 text, but has the byte 0xE2"),
        ("cat\ndog\n".encode("utf-16"), "UTF-8"),
        (b"cat\0\ndog", "U+0000"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(content, word, tmp_path):
    assert word in refuse(tmp_path, content).what


@pytest.mark.parametrize("labels", [[], ["cat", ""], ["cat", "a\nb"], ["x"] * 10, ["cat", "\ud800"], ["cat", 1]])
def test_labels_in_a_list_are_checked_too(labels):
    with pytest.raises(InvalidValue) as caught:
        read_labels(labels)
    assert caught.value.parameter == "labels"


def test_labels_that_occur_twice_are_told(tmp_path):
    (note,) = read_labels(["crane", "cat", "crane"]).notes
    assert "'crane' (0, 2)" in note


def test_what_was_assumed_is_told(tmp_path):
    for content in ("0: cat\n1: dog", "label\ncat\ndog", '{"cat": 0, "dog": 1}'):
        (tmp_path / "labels").write_text(content, encoding="utf-8")
        assert len(read_labels(tmp_path / "labels").notes) == 1
    (tmp_path / "labels").write_text("cat\ndog", encoding="utf-8")
    assert read_labels(tmp_path / "labels").notes == ()


def test_the_labels_of_imagenet_are_built_in():
    assert read_labels("imagenet-1k").labels == tuple(load_imagenet_classes().values())


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(InvalidValue) as caught:
            read_labels(path)
        assert caught.value.parameter == "labels"
