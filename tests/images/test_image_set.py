from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shvit_mobile.errors import BadImages
from shvit_mobile.images.image_set import ImageSet, open_images
from shvit_mobile.images.imagenet import load_imagenet_classes
from tests.images.pictures import encode_dot, write_files

LABELS = ("airplane", "fire truck", "cat")
GENERIC = ("class 0", "class 1", "class 2")
GENERIC_1000 = [f"class {index}" for index in range(1000)]


def pictures(root: Path, *names: str) -> Path:
    return write_files(root, {name: encode_dot(number) for number, name in enumerate(names)})


def found(images: ImageSet) -> dict[str, int | None]:
    labels = images.labels or [None] * len(images)
    return {file.relative_to(images.root).as_posix(): label for file, label in zip(images.files, labels, strict=True)}


def refusal(path: Path, **options) -> BadImages:
    with pytest.raises(BadImages) as caught:
        open_images(path, **options)
    assert "Traceback" not in str(caught.value)
    return caught.value


def test_class_folders_without_labels_are_classes_in_sorted_order(tmp_path):
    images = open_images(pictures(tmp_path, "b/2.png", "a/9.JPG", "b/1.png", "a/deep/er/3.webp"))
    assert images.classes == ("a", "b")
    assert list(found(images).items()) == [("a/9.JPG", 0), ("a/deep/er/3.webp", 0), ("b/1.png", 1), ("b/2.png", 1)]


def test_folders_that_are_numbers_are_sorted_as_numbers(tmp_path):
    images = open_images(pictures(tmp_path, "10/a.png", "9/a.png", "0/a.png"))
    assert images.classes == ("0", "9", "10")


@pytest.mark.parametrize(
    ("folder", "index"),
    [
        ("cat", 2),
        ("Cat", 2),
        ("fire truck", 1),
        ("Fire_Truck", 1),
        ("firetruck", 1),
        ("fire-truck", 1),
    ],
)
def test_folders_are_matched_with_the_models_labels(folder, index, tmp_path):
    images = open_images(pictures(tmp_path, f"{folder}/x.png", "airplane/y.png"), labels=LABELS)
    assert images.classes == LABELS
    assert found(images) == {f"{folder}/x.png": index, "airplane/y.png": 0}


def test_a_label_that_is_a_number_comes_before_an_index(tmp_path):
    images = open_images(pictures(tmp_path, "1/x.png", "0/x.png"), labels=("1", "0"))
    assert found(images) == {"1/x.png": 0, "0/x.png": 1}


def test_the_first_synonym_is_enough(tmp_path):
    images = open_images(
        pictures(tmp_path, "Goldfish/x.png"), labels=("tench, Tinca tinca", "goldfish, Carassius auratus")
    )
    assert images.labels == (1,)


def test_a_name_that_two_classes_share_is_refused(tmp_path):
    labels = ("crane", "cat", "crane")
    error = refusal(pictures(tmp_path, "crane/x.png", "cat/x.png"), labels=labels)
    assert "'crane' (the name of 2 classes)" in error.what


def test_folders_that_are_no_class_are_named_with_the_nearest_label(tmp_path):
    error = refusal(pictures(tmp_path, "aeroplane/x.png", "cat/x.png", "qqqq/x.png", "7/x.png"), labels=LABELS)
    assert "3 of 4 folders" in error.what
    assert "'aeroplane' (airplane?)" in error.what
    assert "'qqqq'" in error.what
    assert "'7'" in error.what
    assert "'cat'" not in error.what
    assert "0 to 2: airplane, fire truck, cat" in error.why
    assert error.hint


def test_two_folders_of_one_class_are_refused(tmp_path):
    error = refusal(pictures(tmp_path, "cat/x.png", "Cat/x.png"), labels=LABELS)
    assert "'Cat'" in error.what
    assert "'cat'" in error.what


def test_generic_labels_take_as_many_folders_in_sorted_order(tmp_path):
    images = open_images(pictures(tmp_path, "zebra/x.png", "ant/x.png", "cow/x.png"), labels=GENERIC)
    assert found(images) == {"ant/x.png": 0, "cow/x.png": 1, "zebra/x.png": 2}
    assert images.classes == GENERIC


def test_generic_labels_take_their_own_names(tmp_path):
    images = open_images(pictures(tmp_path, "class_2/x.png", "class 0/x.png"), labels=GENERIC)
    assert found(images) == {"class 0/x.png": 0, "class_2/x.png": 2}


@pytest.mark.parametrize("names", [("ant", "cow"), ("ant", "cow", "class_1"), ("1", "2"), ("0", "2")])
def test_generic_labels_do_not_guess(names, tmp_path):
    refusal(pictures(tmp_path, *(f"{name}/x.png" for name in names)), labels=GENERIC)


# -- Numbered folders --------------------------------------------------------------------------------------------------

TWELVE = tuple(f"thing {letter}" for letter in "abcdefghijkl")


@pytest.mark.parametrize("width", [1, 2, 3])
def test_numbers_from_0_to_the_last_class_are_indices(width, tmp_path):
    images = open_images(pictures(tmp_path, *(f"{i:0{width}}/x.png" for i in range(12))), labels=TWELVE)
    assert found(images) == {f"{i:0{width}}/x.png": i for i in range(12)}
    assert images.mapping.rule == "index"
    # Only without zeros does torchvision sort them in another order.
    assert ("0, 1, 10, 11" in images.mapping.sentence) == (width == 1)


def test_numbers_from_1_to_the_number_of_classes_count_from_1(tmp_path):
    images = open_images(pictures(tmp_path, *(f"{i}/x.png" for i in range(1, 13))), labels=TWELVE)
    assert found(images) == {f"{i}/x.png": i - 1 for i in range(1, 13)}
    assert images.mapping.rule == "one-based"


@pytest.mark.parametrize("numbers", [range(1, 12), range(11), (0, 5), range(13), range(1, 14), (7,)])
def test_other_numbers_are_refused_because_they_may_count_from_0_or_1(numbers, tmp_path):
    refusal(pictures(tmp_path, *(f"{i}/x.png" for i in numbers)), labels=TWELVE)


def test_an_empty_folder_for_a_missing_class_completes_the_numbers(tmp_path):
    pictures(tmp_path, *(f"{i}/x.png" for i in range(1, 12)))
    (tmp_path / "12").mkdir()
    images = open_images(tmp_path, labels=TWELVE)
    assert images.labels[0] == 0
    assert "1 of 12 classes" in images.mapping.sentence
    assert "thing l" in images.mapping.sentence


def test_labels_that_are_numbers_are_names(tmp_path):
    order = sorted(map(str, range(12)))  # as torchvision sorts the folders that the model was trained on
    images = open_images(pictures(tmp_path, *(f"{i}/x.png" for i in range(12))), labels=order)
    assert found(images) == {f"{name}/x.png": index for index, name in enumerate(order)}
    assert images.mapping.rule == "name"


def test_numbers_that_contradict_labels_which_are_numbers_are_refused(tmp_path):
    refusal(pictures(tmp_path, "0/x.png", "1/x.png", "2/x.png"), labels=("1", "2", "3"))


def test_a_number_beside_names_is_not_an_index(tmp_path):
    refusal(pictures(tmp_path, "airplane/x.png", "cat/x.png", "1/x.png"), labels=LABELS)


@pytest.mark.parametrize(
    ("folders", "labels", "rule"),
    [
        (("cat", "airplane"), LABELS, "name"),
        (("ant", "zebra", "cow"), GENERIC, "sorted"),
        (("100", "20", "3"), GENERIC, "sorted"),
        (("n01440764", "n01443537"), ("goldfish", "tench", "great white shark"), "synset"),
    ],
)
def test_the_rule_by_which_folders_became_classes_is_told(folders, labels, rule, tmp_path):
    images = open_images(pictures(tmp_path, *(f"{name}/x.png" for name in folders)), labels=labels)
    assert images.mapping.rule == rule
    assert f"in {tmp_path.name}" in images.mapping.sentence


def test_classes_without_images_are_told(tmp_path):
    images = open_images(pictures(tmp_path, "cat/x.png", "airplane/x.png"), labels=LABELS)
    assert "1 of 3 classes have no images: 1 'fire truck'" in images.mapping.sentence
    assert open_images(tmp_path).mapping is None


@pytest.mark.parametrize("splits", [("train", "val"), ("Train", "test"), ("training", "validation", "testing")])
def test_a_folder_of_training_and_validation_images_is_refused(splits, tmp_path):
    pictures(tmp_path, *(f"{split}/{name}/x.png" for split in splits for name in LABELS))
    for labels in (LABELS, GENERIC, None):
        with pytest.raises(BadImages) as caught:
            open_images(tmp_path, labels=labels, parameter="validation")
        assert caught.value.parameter == "validation"
        assert "`validation=" in caught.value.hint
        assert all(split in caught.value.what for split in splits)
    chosen = next((split for split in splits if split.startswith("val")), splits[0])
    assert len(open_images(tmp_path / chosen, labels=LABELS)) == 3


def test_classes_may_be_called_train_and_test(tmp_path):
    assert open_images(pictures(tmp_path, "train/x.png", "test/x.png"), labels=("test", "train")).labels == (0, 1)


# -- ImageNet ----------------------------------------------------------------------------------------------------------

SYNSETS = tuple(load_imagenet_classes())


@pytest.mark.parametrize(
    "labels",
    [
        [f"class {index}" for index in range(1000)],
        list(load_imagenet_classes().values()),
        [names.split(",")[0] for names in load_imagenet_classes().values()],
        list(SYNSETS),
        [f"Ding {index}" for index in range(1000)],
    ],
    ids=["generic", "names", "first names", "synsets", "another language"],
)
def test_a_model_of_imagenet_knows_its_synsets(labels, tmp_path):
    chosen = (0, 134, 517, 639, 999)
    pictures(tmp_path, *(f"{SYNSETS[index]}/x.png" for index in chosen))
    images = open_images(tmp_path, labels=labels)
    assert images.labels == chosen
    assert "995 of 1000 classes" in images.mapping.sentence


def test_labels_of_imagenet_in_another_order_keep_it(tmp_path):
    labels = sorted(load_imagenet_classes().values())
    images = open_images(pictures(tmp_path, "n01440764/x.png"), labels=labels)
    assert labels[images.labels[0]] == "tench, Tinca tinca"


def test_synsets_that_are_not_imagenets_are_unknown(tmp_path):
    refusal(pictures(tmp_path, "n10000000/x.png"), labels=[f"class {index}" for index in range(1000)])


def test_a_few_wordnet_ids_are_not_taken_for_all(tmp_path):
    error = refusal(pictures(tmp_path, "n10000000/x.png", "n10000007/x.png", "n10000014/x.png"), labels=LABELS)
    assert "3 of 3 folders" in error.what


def test_accents_match_however_they_are_encoded(tmp_path):
    images = open_images(pictures(tmp_path, "cafe\u0301/x.png", "cat/x.png"), labels=("caf\u00e9", "cat"))
    assert sorted(images.labels or ()) == [0, 1]


def test_a_flat_folder_has_no_labels(tmp_path):
    images = open_images(pictures(tmp_path, "b.png", "a.jpeg", "c.txt"), labels=LABELS)
    assert (found(images), images.labels, images.classes) == ({"a.jpeg": None, "b.png": None}, None, ())


def test_pictures_beside_and_in_folders_without_a_class_have_no_labels(tmp_path):
    images = open_images(pictures(tmp_path, "b.png", "trip/one/a.png", "trip/c.png"), labels=LABELS)
    assert found(images) == {"b.png": None, "trip/c.png": None, "trip/one/a.png": None}


def test_a_picture_beside_class_folders_is_refused(tmp_path):
    error = refusal(pictures(tmp_path, "sheet.png", "cat/a.png", "airplane/b.png"), labels=LABELS)
    assert "1 image in" in error.what
    assert "sheet.png" in error.what


def test_folders_around_the_class_folders_are_stepped_into(tmp_path):
    pictures(tmp_path, "photos/val/cat/a.png", "photos/val/airplane/b.png", "__MACOSX/photos/._a.png")
    images = open_images(tmp_path, labels=LABELS)
    assert images.root == tmp_path / "photos" / "val"
    assert found(images) == {"airplane/b.png": 0, "cat/a.png": 2}


def test_a_lone_folder_of_pictures_is_a_class(tmp_path):
    assert open_images(pictures(tmp_path, "cat/a.png"), labels=LABELS).labels == (2,)
    error = refusal(pictures(tmp_path / "other", "photos/a.png"), labels=LABELS)
    assert str(tmp_path / "other" / "photos") in error.hint


def test_hidden_files_and_other_files_are_passed_over(tmp_path):
    pictures(tmp_path, "cat/a.png", "cat/._a.png", "cat/.hidden/b.png", ".git/c.png", "__MACOSX/cat/d.png")
    write_files(tmp_path, {"cat/Thumbs.db": "x", "notes.txt": "x", "masks/a.txt": "x", "cat/no_suffix": "x"})
    (tmp_path / "cat" / "folder.png").mkdir()
    assert list(found(open_images(tmp_path, labels=LABELS))) == ["cat/a.png"]


def test_files_that_cannot_be_used_are_accounted_for(tmp_path):
    pictures(tmp_path, "cat/a.png", "cat/b.png", "cat/._a.png", ".git/c.png")
    write_files(tmp_path, {"cat/Thumbs.db": "x", "notes.txt": "x", "cat/b.dng": "x", "cat/a.txt": "x"})
    use = open_images(tmp_path, labels=LABELS).account()
    assert (use.requested, use.found, use.used) == (None, 5, 2)
    assert [(group.count, group.first) for group in use.skipped] == [(2, "cat/a.txt"), (1, "cat/b.dng")]
    assert "Used 2 of 5 files" in use.describe("x")


def test_a_sample_is_accounted_for_with_the_number_that_was_asked_for(tmp_path):
    images = open_images(pictures(tmp_path, *(f"{i}.png" for i in range(9)), "9.dng"))
    assert [images.sample(count, 0).account().used for count in (4, 100)] == [4, 9]
    use = images.sample(100, 0).account()
    assert (use.requested, use.found, use.skipped_count) == (100, 10, 1)
    assert "(100 were requested)" in use.describe("x")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_if_most_pictures_cannot_be_used_the_folder_is_refused(tmp_path):
    pictures(tmp_path, *(f"{i}.png" for i in range(5)))
    for i in range(95):
        (tmp_path / f"b{i:02}.jpg").symlink_to(tmp_path / "nothing")
    error = refusal(tmp_path)
    assert "5 of 100 images" in error.what
    assert "95 (first: b00.jpg)" in error.what


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_links_are_followed_and_circles_are_reported(tmp_path):
    pictures(tmp_path / "store", "a.png")
    pictures(tmp_path / "set", "dog/b.png", "dog/c.png", "dog/d.png")
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "store")
    (tmp_path / "set" / "cat" / "up").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "dog" / "self").symlink_to("self")
    images = open_images(tmp_path / "set")
    assert list(found(images)) == ["cat/a.png", "dog/b.png", "dog/c.png", "dog/d.png"]
    assert {group.first for group in images.skipped} == {"cat/up", "dog/self"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes and links")
def test_links_count_if_they_lead_to_pictures(tmp_path):
    pictures(tmp_path / "store", "cat/a.png", "cat/b.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "store" / "cat")
    (tmp_path / "store" / "cat" / "gone.png").symlink_to(tmp_path / "nothing.png")
    os.mkfifo(tmp_path / "store" / "cat" / "pipe.png")
    images = open_images(tmp_path / "set")
    assert list(found(images)) == ["cat/a.png", "cat/b.png"]
    assert {group.first for group in images.skipped} == {"cat/gone.png", "cat/pipe.png"}


def test_a_single_picture(tmp_path):
    images = open_images(pictures(tmp_path, "a.png", "b.png") / "a.png", labels=LABELS)
    assert (found(images), images.labels) == ({"a.png": None}, None)


@pytest.mark.parametrize(
    ("files", "path", "words", "hint"),
    [
        ({}, "", "is empty", ""),
        ({"notes.txt": "x"}, "", "There is no image in .*1 with .txt", ""),
        ({"a.DNG": "x", "b.dng": "x"}, "", "None of the 2 images .* convert it to JPEG", ""),
        ({"photos/a.png": "x"}, "photo", "There is no folder of images", "photos"),
        ({"photos.zip": "x"}, "photos.zip", "neither a folder nor an image", "unzip"),
        ({"labels.csv": "x"}, "labels.csv", "neither a folder nor an image", "as `labels_csv`"),
        ({}, "x" * 5000, "cannot be opened", ""),
        ({}, "nul\0byte", "(cannot be opened|no folder)", ""),
    ],
    ids=["empty", "no images", "raw", "missing", "archive", "csv", "long name", "nul byte"],
)
def test_what_is_no_folder_of_images_is_refused(files, path, words, hint, tmp_path):
    error = refusal(write_files(tmp_path, files) / path)
    assert re.search(words, error.what)
    assert hint in error.hint


# -- A CSV of labels ---------------------------------------------------------------------------------------------------


def with_csv(tmp_path: Path, text: str | bytes) -> dict[str, Path]:
    pictures(tmp_path, "a.png", "b c.png", "deep/d.png", "unlisted.png", "é,1.png")
    write_files(tmp_path, {"labels.csv": text})
    return {"path": tmp_path, "csv": tmp_path / "labels.csv"}


@pytest.mark.parametrize(
    "text",
    [
        "a.png,2\nb c.png,0\ndeep/d.png,1\n",
        "file,label\na.png,Cat\nb c.png,Airplane\ndeep/d.png,fire_truck",
        "\ufefffilename;class\r\na.png;cat\r\n\r\nb c.png;airplane\r\ndeep\\d.png;fire truck\r\n",
        "id\tlabel\timage_path\n1\t2\t./a.png\n2\t0\tb c.png\n3\t1\tdeep/d.png\n",
        '"a.png", "cat"\n"b c.png", "airplane"\n"deep/d.png", "fire truck"\n',
        "\ufeffa.png,cat\nb c.png,airplane\ndeep/d.png,firetruck\n",
        "species,file\ncat,a.png\nairplane,b c.png\nfiretruck,deep/d.png\n",
        "photo,label\na.png,cat\nb c.png,airplane\ndeep/d.png,firetruck\n",
        "what,where\ncat,a.png\nairplane,b c.png\nfiretruck,deep/d.png\n",
        "image_id,width,category\na,1,cat\nb c,2,airplane\nd,0,firetruck\n",
        "a.png 2\nb c.png 0\ndeep/d.png 1\n",
        "a 2\nb c 0\nd 1\n",
        "file label\na.png cat\nb c.png airplane\ndeep/d.png firetruck\n",
        "a.png;1,5,2;cat\nb c.png;1;airplane\ndeep/d.png;1;fire truck\n",
        "file|label\na.png|cat\nb c.png|airplane\ndeep/d.png|fire truck\n",
        "file,label\na.png,2.0\nb c.png,0.0\ndeep/d.png,1.0\n",
        "images/val/a.png,cat\n./b c.png,airplane\n/data/set/deep/d.png,fire truck\n",
        "ImageId,PredictionString\na,cat 1 2 3 4\nb c,airplane 1 2 3 4 airplane 5 6.5 7 8 \nd,firetruck 0 0 1 1\n",
    ],
    ids=[
        *("indices", "header", "excel", "tabs", "quoted", "mark of UTF-8", "file word only", "label word only"),
        *(
            "found by content",
            "image_id",
            "val.txt",
            "val.txt without suffixes",
            "spaces with header",
            "commas in cells",
        ),
        *("bars", "indices of pandas", "prefixes", "kaggle"),
    ],
)
def test_a_csv_gives_the_labels(text, tmp_path):
    images = open_images(**with_csv(tmp_path, text), labels=LABELS)
    assert list(found(images).items()) == [("a.png", 2), ("b c.png", 0), ("deep/d.png", 1)]
    assert images.classes == LABELS


@pytest.mark.parametrize(
    ("numbers", "labels", "rule"), [((1, 2, 3), (0, 1, 2), "one-based"), ((0, 2, 0), (0, 2, 0), "index")]
)
def test_the_numbers_in_a_csv_are_indices_of_some_classes_or_count_from_1(numbers, labels, rule, tmp_path):
    files = ("a.png", "b c.png", "deep/d.png")
    text = "".join(f"{file},{number}\n" for file, number in zip(files, numbers, strict=True))
    images = open_images(**with_csv(tmp_path, text), labels=LABELS)
    assert (images.labels, images.mapping.rule) == (labels, rule)


@pytest.mark.parametrize("labels", [GENERIC_1000, list(load_imagenet_classes().values())])
def test_a_model_of_imagenet_reads_kaggles_table(labels, tmp_path):
    text = "ImageId,PredictionString\na,n02123045 85 1 499 272\nd,n04467665 1 2 3 4 n04467665 5 6 7 8 \n"
    images = open_images(**with_csv(tmp_path, text), labels=labels)
    assert list(found(images).items()) == [("a.png", 281), ("deep/d.png", 867)]
    assert {group.first for group in images.skipped} == {"b c.png"}  # files that the table does not name


def test_a_csv_without_the_models_labels_names_the_classes(tmp_path):
    images = open_images(**with_csv(tmp_path, 'a.png,zebra\nb c.png,ant\n"é,1.png",zebra\n'))
    assert images.classes == ("ant", "zebra")
    assert images.labels == (1, 0, 1)
    numbered = open_images(**with_csv(tmp_path, "a.png,10\nb c.png,9\n"))
    assert (numbered.classes, numbered.labels) == (("9", "10"), (1, 0))


def test_a_second_column_of_labels_that_contradicts_the_first_is_told(tmp_path):
    text = "file,class_id,class_name\na.png,{},cat\nb c.png,0,airplane\n"
    agreeing = open_images(**with_csv(tmp_path, text.format(2)), labels=LABELS)
    contradicting = open_images(**with_csv(tmp_path, text.format(1)), labels=LABELS)
    assert agreeing.labels == contradicting.labels == (2, 0)
    assert "another column" not in agreeing.mapping.sentence
    assert "In 1 row another column" in contradicting.mapping.sentence


def test_a_table_of_more_images_than_the_folder_holds_is_used_and_this_is_told(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    write_files(tmp_path, {"val.txt": "a.png 2\nb.png 0\nc.png 1\nd.png 1\n"})
    images = open_images(tmp_path, labels=LABELS, csv=tmp_path / "val.txt")
    assert list(found(images).items()) == [("a.png", 2), ("b.png", 0)]
    assert "2 of its 4 rows name images that are not there." in images.mapping.sentence


def test_a_csv_leads_to_class_folders_too(tmp_path):
    pictures(tmp_path, "cat/a.png", "dog/a.png")
    write_files(tmp_path, {"labels.csv": "cat/a.png,airplane\ndog/a.png,cat"})
    assert open_images(tmp_path, labels=LABELS, csv=tmp_path / "labels.csv").labels == (0, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.png,cat\ngone.png,cat\n", "1 of 2 rows in .*: row 2: there is no gone.png"),
        ("file,label\na.png,kat\n", r"1 of 1 labels .*'kat' \(cat\?\)"),
        ("a.png,3\n", "numbers from 3 to 3"),
        ("a.png,cat\nb c.png,1\n", "1 of 2 labels .*'1'"),
        ("a.png,cat\nb c.png,n02123045\n", "1 of 2 labels .*'n02123045'"),
        ("ImageId,PredictionString\na,cat 1 2 3 4 airplane 1 2 3 4\n", "cannot be matched"),
        ("a.png,cat\n\nb c.png,cat\n./a.png,cat\n", "row 4: a.png is also in row 1"),
        ("../a.png,cat\n", "row 1: there is no ../a.png"),
        ("/etc/passwd,cat\n", "row 1: there is no /etc/passwd"),
        ("deep,cat\n", "row 1: there is no deep"),
        ("x" * 5000 + ".png,cat\n", "row 1: there is no xxx"),
        ("a.png\n", "Row 1 of .* lacks a file or a label"),
        ("a.png,cat\nb c.png,\n", "Row 2 of .* lacks"),
        ("", "has no rows"),
        ("\n \n", "has no rows"),
        ("file,label\n", "has a header and no rows"),
        ("file,width,height\na.png,1,2\n", "has the columns file, width, height"),
        ('a.png,"cat\n', "is not a table of labels"),
        (b"\xff\xfea\0,\0b\0", "not UTF-8"),
        (b"a.png\0,cat", "it is not text"),
        ("\n".join(f"{i}.png,cat" for i in range(9)), "9 of 9 rows .*4.png and 4 more"),
    ],
)
def test_a_wrong_csv_is_refused_with_its_rows(text, words, tmp_path):
    assert re.search(words, refusal(**with_csv(tmp_path, text), labels=LABELS).what)


def test_a_csv_that_is_missing_or_a_folder_is_refused(tmp_path):
    pictures(tmp_path, "a.png")
    assert "does not exist" in refusal(tmp_path, csv=tmp_path / "labels.csv").what
    assert "is a folder" in refusal(tmp_path, csv=tmp_path).what
    assert "is a file" in refusal(tmp_path / "a.png", csv=tmp_path / "labels.csv").what


@pytest.mark.skipif(os.name == "nt", reason="names are text")
def test_names_that_are_not_utf8_are_used_and_accounted_for(tmp_path):
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/s\xe9t"))
    folders = [Path(os.fsdecode(os.fsencode(root) + name)) for name in (b"/a\xff", b"/b\xff", b"/c\xff")]
    for folder in folders:
        pictures(folder, "x.png")
        (folder / os.fsdecode(b"\xfe.txt")).write_bytes(b"x")
    images = open_images(root, labels=GENERIC)
    assert images.labels == (0, 1, 2)
    assert images.mapping.rule == "sorted"
    assert images.account().skipped_count == 3
    assert "\ufffd" in images.account().to_json()
    (tmp_path / os.fsdecode(b"\xe9.csv")).write_text("x.png,cat\n", encoding="utf-8")
    assert open_images(folders[0], labels=LABELS, csv=tmp_path / os.fsdecode(b"\xe9.csv")).labels == (2,)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.text('ab.png,;\t "\r\n0123catd/\\-', max_size=60).map(str.encode)))
def test_a_table_of_anything_is_read_or_refused(tmp_path, data):
    if not (tmp_path / "a.png").exists():
        pictures(tmp_path, "a.png", "b/a.png")
    (tmp_path / "labels.csv").write_bytes(data)
    for labels in (LABELS, GENERIC, None):
        with suppress(BadImages):
            images = open_images(tmp_path, labels=labels, csv=tmp_path / "labels.csv")
            assert set(images.files) <= {tmp_path / "a.png", tmp_path / "b" / "a.png"}


# -- Samples -----------------------------------------------------------------------------------------------------------

SETS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 10**6)), min_size=1, max_size=60, unique=True)


def made(items: list[tuple[int, int]], root: str = "/data") -> ImageSet:
    files = tuple(Path(root, str(label), f"{number}.png") for label, number in items)
    return ImageSet(Path(root), files, tuple(label for label, _ in items), ("a", "b", "c", "d", "e"))


def names(images: ImageSet) -> list[str]:
    return [file.relative_to(images.root).as_posix() for file in images.files]


@settings(max_examples=150, deadline=None)
@given(SETS, st.integers(1, 70), st.integers())
def test_a_balanced_sample_is_as_even_as_the_classes_allow(items, count, seed):
    images = made(items)
    sample = images.sample(count, seed)
    assert len(sample) == min(count, len(images))
    assert set(zip(sample.files, sample.labels, strict=True)) <= set(zip(images.files, images.labels, strict=True))
    assert len(set(sample.files)) == len(sample)
    there, taken = Counter(images.labels), Counter(sample.labels)
    # No class has two more than another that could have given one more.
    assert all(taken[a] <= taken[b] + 1 for a in there for b in there if taken[b] < there[b])


@settings(max_examples=100, deadline=None)
@given(SETS, st.integers(1, 70), st.integers(), st.booleans(), st.randoms())
def test_a_sample_depends_on_names_and_seed_alone(items, count, seed, balanced, random):
    sample = made(items).sample(count, seed, balanced=balanced)
    shuffled = items[:]
    random.shuffle(shuffled)
    assert names(made(shuffled, "/else/where").sample(count, seed, balanced=balanced)) == names(sample)
    assert sample.sample(count, seed, balanced=balanced) == sample
    larger = made(items).sample(count + 5, seed, balanced=balanced)
    assert larger.files[: len(sample)] == sample.files


def test_samples_are_the_same_on_every_machine_and_release():
    images = made([(label, number) for label in range(3) for number in range(40)])
    assert names(images.sample(5, 0)) == ["2/10.png", "0/12.png", "1/0.png", "2/25.png", "1/15.png"]
    assert names(images.sample(5, 1, balanced=False)) == ["1/11.png", "2/9.png", "0/5.png", "1/28.png", "1/25.png"]


def test_seeds_differ_and_unlabelled_sets_can_be_sampled():
    images = made([(0, number) for number in range(200)])
    unlabelled = ImageSet(images.root, images.files)
    assert names(unlabelled.sample(20, 1)) == names(images.sample(20, 1)) != names(images.sample(20, 2))
    assert unlabelled.sample(20, 1).labels is None


def test_an_unbalanced_sample_keeps_the_shares_of_the_classes():
    images = made([(0, number) for number in range(900)] + [(1, number) for number in range(100)])
    assert 10 <= Counter(images.sample(300, 4, balanced=False).labels)[1] <= 50
    assert Counter(images.sample(150, 4).labels)[1] == 75


@pytest.mark.parametrize("count", [0, -3])
def test_a_sample_of_nothing_is_refused(count):
    with pytest.raises(BadImages, match=f"sample of {count} images"):
        made([(0, 1)]).sample(count, 0)


def test_labels_that_do_not_fit_the_files_are_refused():
    with pytest.raises(BadImages, match="2 labels for 1 images"):
        ImageSet(Path("/data"), (Path("/data/a.png"),), (0, 1), ("a", "b"))


def test_the_fingerprint_is_of_the_bytes_in_order(tmp_path):
    images = open_images(pictures(tmp_path, "a.png", "b.png"))
    digests = b"".join(hashlib.sha256(file.read_bytes()).digest() for file in images.files)
    assert images.compute_sha256() == hashlib.sha256(digests).hexdigest()
    turned = ImageSet(images.root, images.files[::-1])
    assert turned.compute_sha256() != images.compute_sha256()
    moved = shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}-moved")
    assert open_images(moved).compute_sha256() == images.compute_sha256()
    (tmp_path / "b.png").write_bytes(encode_dot(77))
    assert images.compute_sha256() != open_images(moved).compute_sha256()
    (tmp_path / "b.png").unlink()
    with pytest.raises(BadImages, match=r"b\.png cannot be read"):
        images.compute_sha256()
