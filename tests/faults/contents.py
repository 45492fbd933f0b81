"""Files of the right name with hostile contents: endless, nested, contradictory, or made to run code."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.faults.kinds import Command
from tests.faults.world import ARTIFACTS, CHECKPOINT, LABELS, MODEL, PTH

Write = Callable[[Path], None]
_EXPORT = ("export", *MODEL, "--target", "onnx", "--out", "new")


def _write(text: str | bytes) -> Write:
    """Return what writes a file anew."""

    def write(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))

    return write


def _change(change: Callable[[dict[str, object]], object]) -> Write:
    """Return what changes a JSON document; what cannot be JSON, such as NaN, is written as Python writes it."""

    def write(path: Path) -> None:
        document = json.loads(path.read_text(encoding="utf-8"))
        change(document)
        _write(json.dumps(document))(path)

    return write


def _write_pickle(value: object) -> Write:
    return _write(pickle.dumps(value))


class _Malicious:
    """Pickled, it makes a file where it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.mkdir, ("new-mark",)


def _write_nested_prefixes(depth: int) -> Write:
    """Return what writes a checkpoint whose weights lie under thousands of names."""

    def write(path: Path) -> None:
        import torch

        weights: object = torch.load(path, weights_only=True)
        for _ in range(depth):
            weights = {"module": weights}
        path.unlink()
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(100 * depth)
        torch.save(weights, path)
        sys.setrecursionlimit(limit)

    return write


def _write_tensors(change: Callable[[dict[str, object]], object]) -> Write:
    """Return what changes the tensors of a .pth."""

    def write(path: Path) -> None:
        import torch

        state = torch.load(path, weights_only=True)
        change(state["model"])
        path.unlink()
        torch.save(state, path)

    return write


def _write_header(header: object, data: bytes = b"", length: int | None = None) -> Write:
    """Return what writes a .safetensors with a header, and the length that it states."""
    text = json.dumps(header).encode()
    return _write(struct.pack("<Q", len(text) if length is None else length) + text + data)


def _write_many_tensors(path: Path) -> None:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    _write_header({f"layer{number}": empty for number in range(1_000_000)})(path)


def _write_bomb(path: Path) -> None:
    """Write an archive of 2 GB of zeros."""
    path.unlink()
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.json", "w", force_zip64=True) as file,
    ):
        for _ in range(2048):
            file.write(bytes(1 << 20))


def _write_archive(names: tuple[str, ...]) -> Write:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return _write(data.getvalue())


def _remove(name: str) -> Callable[[dict[str, object]], object]:
    return lambda tensors: tensors.pop(name)


def _set_nan(tensors: dict[str, object]) -> None:
    next(iter(tensors.values()))[:] = float("nan")  # type: ignore[index]


_DEEP = "[" * 100_000 + "]" * 100_000
_CHECKPOINTS = {
    "nothing": _write_pickle({}),
    "list": _write_pickle([1, 2, 3]),
    "code": _write_pickle({"model": _Malicious()}),
    "deep": _write_nested_prefixes(1000),
    "nan": _write_tensors(_set_nan),
    "partial": _write_tensors(_remove("head.l.weight")),
    "protocol": _write(b"\x80\xff" + bytes(100)),
}
_HEADERS = {
    "many tensors": _write_many_tensors,
    "endless header": _write_header({}, length=2**63),
    "no header": _write(bytes(8)),
    "overlap": _write_header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 8]}}, bytes(8)),
    "negative": _write_header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
    "type": _write_header({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "list": _write_header([1, 2]),
    "deep": _write(struct.pack("<Q", 200_000) + _DEEP.encode()),
}
_LABELS = {
    "empty": _write(""),
    "blank": _write("\n" * 7),
    "two": _write("ant\nbee\n"),
    "same": _write("ant\n" * 7),
    "empty list": _write("[]"),
    "surrogate": _write('["ant", "\\ud800", "c", "d", "e", "f", "g"]'),
    "numbers": _write("[1, 2, 3, 4, 5, 6, 7]"),
    "deep": _write(_DEEP),
    "latin": _write("ant\nb\xe9e\n".encode("latin-1")),
    "wide": _write("ant\nbee\n".encode("utf-16")),
    "control": _write("\n".join(f"{label}\x1b[2J" for label in LABELS)),
    "million": _write("ant\n" * 1_000_000),
    "one line": _write("a" * 100_000_000),
}
_TABLES = {
    "empty": _write(""),
    "header": _write("file,label\n"),
    "unknown label": _write("file,label\n0000.jpg,okapi\n"),
    "unknown file": _write("file,label\nother.jpg,ant\n"),
    "columns": _write("a,b,c\n1,2,3\n"),
    "contradiction": _write("file,label\n0000.jpg,ant\n0000.jpg,bee\n"),
    "quote": _write('file,label\n"0000.jpg,ant\n' * 3),
    "zeros": _write("file,label\n0000.jpg\0,ant\n"),
    "million": _write("file,label\n" + "".join(f"{number}.jpg,ant\n" for number in range(1_000_000))),
    "long field": _write("file,label\n" + "a" * 1_000_000 + ",ant\n"),
}
_DOCUMENTS = {
    "nan": _write("NaN"),
    "deep": _write(_DEEP),
    "null": _write("null"),
    "list": _write("[]"),
    "object": _write("{}"),
    "number": _write("9" * 100_000),
    "infinity": _write('{"schema_version": Infinity}'),
    "surrogate": _change(lambda document: document.update({"\ud800": "\udfff"})),
    "version": _change(lambda document: document.update(schema_version="99.0")),
    "odd version": _change(lambda document: document.update(schema_version="1.0.0")),
    "huge version": _change(lambda document: document.update(schema_version="9" * 5000 + ".0")),
    "kind": _change(lambda document: document.update(kind="other")),
    "twice": lambda path: _write(path.read_text(encoding="utf-8") * 2)(path),
    "wide": lambda path: _write(path.read_text(encoding="utf-8").encode("utf-16"))(path),
    "zeros": lambda path: _write(bytes(path.stat().st_size))(path),
}
_READERS: dict[str, Command] = {
    "calibration/recipe.json": (*_EXPORT, "--recipe", "calibration/recipe.json"),
    "drift.json": ("report", "set", "drift.json", "--out", "new.html"),
    "calibration/sensitivity.json": ("report", "calibration/sensitivity.json", "--out", "new.html"),
    "device.json": ("devices", "device.json"),
    "set/custom-64x48-onnx-int8.manifest.json": ("inspect", ARTIFACTS["onnx-int8"]),
}
# What is read, by what, and its contents by name.
_CONTENTS: tuple[tuple[str, Command, dict[str, Write]], ...] = (
    (PTH, ("inspect", PTH), _CHECKPOINTS),
    (CHECKPOINT, ("inspect", CHECKPOINT), _HEADERS),
    ("labels.txt", (*_EXPORT, "--labels", "labels.txt"), _LABELS),
    (
        "labels.csv",
        ("validate", ARTIFACTS["onnx-int8"], *MODEL, "--images", "flat", "--labels-csv", "labels.csv"),
        _TABLES,
    ),
    *((path, command, _DOCUMENTS) for path, command in _READERS.items()),
    (
        "share.zip",
        ("devices", "share.zip"),
        {
            "bomb": _write_bomb,
            "outside": _write_archive(("../device.json",)),
            "many": _write_archive(tuple(f"{number}.json" for number in range(2000))),
            "empty": _write_archive(()),
        },
    ),
)


def list_contents() -> list[tuple[str, Command, Write]]:
    """Return a name, the arguments, and what writes the file into a folder of inputs, for each content."""
    return [
        (f"{command[0]} {path} {name}", command, _write_in(path, write))
        for path, command, contents in _CONTENTS
        for name, write in contents.items()
    ]


def _write_in(path: str, write: Write) -> Write:
    return lambda folder: write(folder / path)
