"""Reads class names from the files that people have: lines, numbered lines, JSON, Python dictionaries, and CSV."""

import ast
import csv
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shvit_mobile.contracts.files import read_text
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import InvalidValue
from shvit_mobile.images.class_names import format_list
from shvit_mobile.images.imagenet import SYNSET, load_imagenet_classes

# The built-in class names.
IMAGENET = "imagenet-1k"
_WHAT = "a file of class names"
_FORMATS = (
    "It should hold one name per line, numbered lines (0: cat), a JSON list or dictionary of names and indices, or a "
    "CSV with the columns index and name."
)
# What a JSON document calls its labels, where they are one field among others.
_JSON_FIELDS = (
    "id2label",
    "label2id",
    "class_to_idx",
    "idx_to_class",
    "label_names",
    "labels",
    "classes",
    "names",
    "categories",
)
_INDEX_HEADERS = frozenset({"index", "idx", "id", "classid", "classindex", "classidx", "labelid", "target", "number"})
_NAME_HEADERS = frozenset(
    {"name", "label", "labels", "class", "classes", "classname", "labelname", "category", "displayname", "title"}
)
_OTHER_HEADERS = frozenset({"synset", "wnid", "wordnetid", "description", "count", "supercategory", "color"})
_NUMBERED = re.compile(r"(\d{1,9})(\s*(?:->|[:,;|)=\t])\s*|\.\s+|\s+-\s+|[ ]+)(\S.*)", re.ASCII)
_NUMBERED_AT_END = re.compile(r"(.*\S)(?:\s*(?:->|[:,;|=\t])\s*|[ ]+)(\d{1,9})", re.ASCII)
_WITH_SYNSET = re.compile(rf"({SYNSET.pattern})(?:\s*[:,;\t]\s*|\s+)(\S.*)", re.ASCII)
_MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class ClassLabels:
    """The labels of a model.

    Attributes:
        labels: The labels, in the order of the logits.
        notes: What was assumed, a sentence each.
    """

    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_labels(labels: AnyPath | Sequence[str]) -> ClassLabels:
    """Return the labels in a file, or those in a sequence, after checking them.

    A file holds one label per line; or numbered lines ("0: cat", "0 cat", "0,cat"); or lines that begin with a synset
    ("n01440764 tench"); or a CSV with a header; or a JSON list; or a dictionary from names to indices (class_to_idx),
    from indices to names (id2label) or from indices to synset and name (imagenet_class_index), in JSON or as Python
    writes it. Indices are exactly 0 to n-1. The text is UTF-8. Lines end with a line feed, a carriage return or both.

    Args:
        labels: The labels, a file, or "imagenet-1k".

    Raises:
        InvalidValue: If the file cannot be read, is of another form, or lacks an index; if there are no labels, one is
            empty or contains a control character, or all are the same.
    """
    if isinstance(labels, Sequence) and not isinstance(labels, str):
        return _check_labels(labels, "`labels`", ())
    path = Path(labels)
    if str(labels) == IMAGENET and not path.exists():
        return ClassLabels(tuple(load_imagenet_classes().values()))
    text = read_text(path, limit=_MAX_BYTES, error=InvalidValue, what=_WHAT, parameter="labels")
    names, form = _parse(text.strip("\r\n \t"), path)
    return _check_labels(names, str(path), form)


def _parse(text: str, path: Path) -> tuple[Sequence[Any], tuple[str, ...]]:
    """Return the names in a text, and a note on how they were read if they are not simple lines."""
    if text.startswith(("[", "{")):
        return _parse_structure(text, path)
    lines = [line.strip(" \t") for line in re.split(r"\r\n|\n|\r", text)]
    if lines == [""]:
        raise _build_error(path, "it is empty")
    for number, line in enumerate(lines, 1):
        if not line:
            raise _build_error(path, f"line {number} is blank")
    if table := _parse_table(lines, path):
        return table
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if all(numbered):
        pairs = [(int(match[1]), _unquote(match[3])) for match in numbered if match]
        loose = all(match[2].strip(" ") == "" for match in numbered if match)
        indices = sorted(index for index, _ in pairs)
        # "5 euro" is a name, unless the numbers count the lines.
        if not loose or indices in (list(range(len(lines))), list(range(1, len(lines) + 1))):
            names = _order_by_index(pairs, path)
            return _drop_synsets(names), (f"The numbers in {path.name} are class indices, not parts of names.",)
    ends = [match for line in lines if (match := _NUMBERED_AT_END.fullmatch(line))]
    pairs = [(int(match[2]), _unquote(match[1])) for match in ends]
    # "class 0" is a name; names that differ without their numbers are followed by indices.
    if sorted(index for index, _ in pairs) == list(range(len(lines))) and len({name for _, name in pairs}) == len(
        lines
    ):
        return _order_by_index(pairs, path), (f"The numbers in {path.name} are class indices, not parts of names.",)
    return _drop_synsets(lines), ()


def _parse_table(lines: Sequence[str], path: Path) -> tuple[Sequence[str], tuple[str, ...]] | None:
    """Return the names in a CSV with a header; None if the first line is none."""
    separator = max(",;\t", key=lines[0].count)
    try:
        rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return None
    words = [re.sub(r"[\s_-]+", "", cell.casefold()) for cell in rows[0]]
    index = next((column for column, word in enumerate(words) if word in _INDEX_HEADERS), None)
    name = next((column for column, word in enumerate(words) if word in _NAME_HEADERS), None)
    if (
        name is None
        or len(rows) < 2
        or len(set(words)) < len(words)
        or (index is None and not set(words) <= _NAME_HEADERS | _OTHER_HEADERS)
    ):
        return None
    for number, row in enumerate(rows[1:], 2):
        if len(row) <= max(name, index or 0):
            raise _build_error(path, f"line {number} lacks a cell: {lines[number - 1][:80]}")
    names = [row[name].strip() for row in rows[1:]]
    if index is not None:
        cells = [(number, row[index].strip()) for number, row in enumerate(rows[1:], 2)]
        for number, cell in cells:
            if not _is_index(cell):
                raise _build_error(path, f"the index in line {number} is '{cell[:40]}'")
        names = _order_by_index([(int(cell), one) for (_, cell), one in zip(cells, names, strict=True)], path)
    return names, (f"The first line of {path.name}, '{lines[0][:80]}', is a header and no class.",)


def _parse_structure(text: str, path: Path) -> tuple[Sequence[Any], tuple[str, ...]]:
    """Return the names in JSON, or in a list or dictionary as Python writes it."""
    value = _load_structure(text, path)
    if isinstance(value, Mapping):
        field = next((name for name in _JSON_FIELDS if isinstance(value.get(name), list | Mapping)), None)
        value = value if field is None else value[field]
    if isinstance(value, list | tuple):
        if all(isinstance(one, Mapping) for one in value) and value:
            value = [(one.get("id", index), one.get("name")) for index, one in enumerate(value)]
            return _order_by_index(_check_pairs(value, path), path), ()
        value = [
            one[-1] if isinstance(one, list | tuple) and len(one) == 2 and _is_synset(one[0]) else one for one in value
        ]
        if not all(isinstance(one, str) for one in value):
            raise _build_error(path, "it is a list, but not of names", hint='Write: ["cat", "dog"]')
        return value, ()
    if not isinstance(value, Mapping) or not value:
        raise _build_error(path, "it holds no names")
    pairs: list[tuple[Any, Any]]
    if all(isinstance(index, int) for index in value.values()):
        pairs = [(index, name) for name, index in value.items()]
    elif all(_is_index(str(index)) for index in value):
        pairs = [(index, one[-1] if isinstance(one, list | tuple) and one else one) for index, one in value.items()]
    else:
        pairs = [(index, name) for name, index in value.items()]
    return _order_by_index(_check_pairs(pairs, path), path), (f"{path.name} says the index of each class itself.",)


def _load_structure(text: str, path: Path) -> Any:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        if twice:
            raise _build_error(path, f"it has the key '{twice[0]}' more than once")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=build)
    except (ValueError, RecursionError) as reason:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            said = reason.msg if isinstance(reason, json.JSONDecodeError) else str(reason)
            line = f" in line {reason.lineno}" if isinstance(reason, json.JSONDecodeError) else ""
            raise _build_error(path, f"it starts like JSON but is not JSON: {said}{line}") from None


def _check_pairs(pairs: Sequence[tuple[Any, Any]], path: Path) -> list[tuple[int, str]]:
    """Return pairs of index and name, or raise `InvalidValue` for anything else."""
    checked = []
    for index, name in pairs:
        if isinstance(index, bool) or not _is_index(str(index)) or not isinstance(name, str):
            raise _build_error(path, f"'{str(name)[:40]}' with the index '{str(index)[:40]}' is not a class")
        checked.append((int(index), name))
    return checked


def _order_by_index(pairs: Sequence[tuple[int, str]], path: Path) -> list[str]:
    """Return the names in the order of their indices, which are exactly 0 to n-1."""
    counts = Counter(index for index, _ in pairs)
    last = len(pairs) - 1
    if twice := [index for index, count in counts.items() if count > 1]:
        raise _build_error(path, f"the index {twice[0]} occurs {counts[twice[0]]} times")
    if min(counts) == 1 and max(counts) == len(pairs):
        raise _build_error(
            path,
            f"its indices count from 1 to {len(pairs)}",
            why=f"The first class is 0, the last of {len(pairs)} is {last}.",
            hint="Subtract 1 from each, or write only the names, one per line.",
        )
    if missing := [index for index in range(len(pairs)) if index not in counts]:
        outside = sorted(index for index in counts if index > last)
        raise _build_error(
            path,
            f"it has {len(pairs)} classes, but no index {format_list(missing)} and instead {format_list(outside)}",
            why=f"The indices should be exactly 0 to {last}.",
        )
    return [name for _, name in sorted(pairs)]


def _drop_synsets(lines: Sequence[str]) -> list[str]:
    """Return lines without the synset that each begins with, and without quotes around each."""
    matches = [_WITH_SYNSET.fullmatch(line) for line in lines]
    return [_unquote(match[2]) for match in matches if match] if all(matches) else _unquote_all(lines)


def _unquote_all(lines: Sequence[str]) -> list[str]:
    unquoted = [_unquote(line) for line in lines]
    return unquoted if all(short != line for short, line in zip(unquoted, lines, strict=True)) else list(lines)


def _unquote(name: str) -> str:
    return name[1:-1] if len(name) > 2 and name[0] == name[-1] and name[0] in "\"'" else name


def _check_labels(names: Sequence[Any], source: str, notes: tuple[str, ...]) -> ClassLabels:
    """Return labels that can be shown and stored, with a note on those that occur more than once."""
    if not names:
        raise InvalidValue(f"{source} holds no labels.", why="Each class has a name.", parameter="labels")
    labels = []
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise InvalidValue(f"Label {index} in {source} is {name!r}.", why="It should be text.", parameter="labels")
        label = name.strip()
        fault = "is empty" if not label else _find_bad_character(label)
        if fault:
            raise InvalidValue(
                f"Label {index} in {source} {fault}.", why="Apps show labels as text.", parameter="labels"
            )
        labels.append(label)
    repeated = [label for label, count in Counter(labels).items() if count > 1]
    if len(labels) > 1 and len(set(labels)) == 1:
        raise InvalidValue(
            f"All {len(labels)} labels in {source} are '{labels[0]}'.",
            why="They would not tell the classes apart.",
            parameter="labels",
        )
    if repeated:
        places = [f"'{one}' ({format_list([i for i, label in enumerate(labels) if label == one])})" for one in repeated]
        notes += (f"Some classes have the same label: {format_list(places)}.",)
    return ClassLabels(tuple(labels), notes)


def _find_bad_character(label: str) -> str:
    """Return what is wrong with the characters of a label; empty if nothing is."""
    for character in label:
        category = unicodedata.category(character)
        if category == "Cs":
            return "contains half of a character (a lone surrogate)"
        if category == "Cc":
            return f"contains the control character U+{ord(character):04X}"
    return ""


def _is_synset(value: Any) -> bool:
    return isinstance(value, str) and SYNSET.fullmatch(value) is not None


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _build_error(path: Path, what: str, *, why: str = _FORMATS, hint: str = "") -> InvalidValue:
    return InvalidValue(f"{path} is not {_WHAT} that can be used: {what}.", why=why, hint=hint, parameter="labels")
