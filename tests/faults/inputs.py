"""Invalid inputs: tables of options and values that no command may accept, multiplied."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.kinds import Command
from tests.faults.world import ARTIFACTS, CHECKPOINT, MODEL

Arg = str | bytes
ONNX_INT8, PTE = ARTIFACTS["onnx-int8"], ARTIFACTS["executorch-int8"]
_MODEL = (*MODEL,)
_OUT = ("--out", "new")
EXPORT = ("export", *_MODEL, "--target", "onnx", *_OUT)
EXPORT_INT8 = (*EXPORT, "--quantize", "int8", "--calibration", "pictures")
EXPORT_VALIDATED = (*EXPORT, "--validate", "pictures")
EXPORT_COREML = ("export", *_MODEL, "--target", "coreml", *_OUT)
EXPORT_EXECUTORCH = ("export", *_MODEL, "--target", "executorch", *_OUT)
CALIBRATE = ("calibrate", "pictures", *_MODEL, *_OUT, "--cache", "new-cache")
FINETUNE = ("finetune", "pictures", *_MODEL, "--recipe", "calibration/recipe.json", "--out", "new.json")
VALIDATE = ("validate", ONNX_INT8, *_MODEL, "--images", "pictures")
REPORT = ("report", "set", "--out", "new.html")
DEVICES = ("devices", "device.json")
BENCHMARK = ("benchmark", ONNX_INT8, "--no-roofline")
EMBED = ("embed", PTE, "--into", "android_app", "--overwrite")

VALID = (
    *(EXPORT, EXPORT_INT8, EXPORT_VALIDATED, EXPORT_COREML, EXPORT_EXECUTORCH, CALIBRATE),
    (*FINETUNE, "--keep-anyway", "--epochs", "1"),
    *(VALIDATE, REPORT, DEVICES, EMBED),
    (*BENCHMARK, "--rounds", "1", "--iterations", "1"),
)

# What a value is, and values that are wrong for it.
_COUNTS = ("0", "-1", "x", "1.5", "", "nan", "1e3")
_SHARES = ("0", "-1", "nan", "inf", "1e-300", "1e-6", "1e30", "1.5", "x", "")
_SIZES = ("0", "x", "-64", "99999x99999", "20000x20000", "64x", "64x48x3", "1e3", "", "0x64", "-1x64", "٦٤", "64×0")
_PERCENTS = ("-1", "101", "nan", "inf", "x", "", "1e400")
_POINTS = ("-1", "nan", "inf", "-inf", "x", "")
_NAMES = ("other", "", " ", "Onnx32", "--", "é", b"\xff")
_MEANS = ("nan 0 0", "inf 0 0", "1e30 0 0", "123.675 116.28 103.53", "x 0 0", "0 -inf 0", "1 1")
_STDS = ("0 1 1", "-1 1 1", "nan 1 1", "1e-30 1 1", "inf 1 1", "58.395 57.12 57.375", "1e30 1 1", "0.2")

_VALUES: tuple[tuple[Command, str, tuple[Arg, ...]], ...] = (
    (EXPORT, "--size", _SIZES),
    (EXPORT, "--crop", _SHARES),
    (EXPORT, "--mean", _MEANS),
    (EXPORT, "--std", _STDS),
    (EXPORT, "--target", _NAMES),
    (EXPORT, "--quantize", _NAMES),
    (EXPORT, "--model", _NAMES[:5]),
    (EXPORT, "--opset", ("0", "-1", "99", "x", "9" * 30, "1", "")),
    (EXPORT_INT8, "--calibration-count", _COUNTS),
    (EXPORT_INT8, "--observer", _NAMES),
    (EXPORT_INT8, "--activations", _NAMES),
    (EXPORT_INT8, "--pass", _NAMES),
    (EXPORT_INT8, "--seed", ("x", "1.5", "nan", "")),
    (EXPORT_VALIDATED, "--validate-count", _COUNTS),
    (EXPORT_VALIDATED, "--max-drop", _POINTS),
    (EXPORT_VALIDATED, "--min-agreement", (*_PERCENTS, "0.985")),
    (EXPORT_COREML, "--input", _NAMES),
    (EXPORT_COREML, "--deployment-target", (*_NAMES, "iOS9")),
    (EXPORT_COREML, "--layout", _NAMES),
    ((*EXPORT_COREML, "--quantize", "int8-weights", "--deployment-target", "iOS18"), "--block", _COUNTS),
    (EXPORT_EXECUTORCH, "--stem", _NAMES),
    (EXPORT_EXECUTORCH, "--head", _NAMES),
    (EXPORT_EXECUTORCH, "--require-delegated", _PERCENTS),
    (CALIBRATE, "--count", _COUNTS),
    (CALIBRATE, "--size", _SIZES),
    (CALIBRATE, "--mean", _MEANS),
    (CALIBRATE, "--sampling", _NAMES),
    (CALIBRATE, "--max-drop", _POINTS),
    (CALIBRATE, "--cost", _NAMES),
    (FINETUNE, "--epochs", _COUNTS),
    (FINETUNE, "--learning-rate", ("0", "-1", "nan", "inf", "x")),
    (FINETUNE, "--batch", _COUNTS),
    (FINETUNE, "--device", ("other", "", "cuda:99")),
    (VALIDATE, "--count", _COUNTS),
    (VALIDATE, "--max-drop", _POINTS),
    (VALIDATE, "--min-agreement", _PERCENTS),
    (VALIDATE, "--arch", _NAMES),
    (DEVICES, "--max-slowdown", _PERCENTS),
    (BENCHMARK, "--threads", _COUNTS),
    (BENCHMARK, "--rounds", _COUNTS),
    (BENCHMARK, "--batch", _COUNTS),
    (BENCHMARK, "--cpus", ("x", "", "-1", "9999", "0,,1", "0-")),
    (BENCHMARK, "--engine", _NAMES),
)

_CONTRADICTIONS: tuple[tuple[Arg, ...], ...] = (
    (),
    ("exprot",),
    ("export", "--taget", "onnx"),
    ("export", *_MODEL),
    (*EXPORT, "--recipe", "calibration/recipe.json", "--quantize", "int8"),
    (*EXPORT_INT8, "--recipe", "calibration/recipe.json"),
    (*EXPORT, "--calibration", "pictures"),
    (*EXPORT, "--quantize", "int8"),
    (*EXPORT, "--quantize", "fp16"),
    (*EXPORT, "--quantize", "palette-4"),
    (*EXPORT, "--observer", "mse"),
    (*EXPORT, "--max-drop", "1"),
    (*EXPORT, "--min-agreement", "99"),
    (*EXPORT, "--report", "new.json"),
    (*EXPORT, "--labels-csv", "labels.csv"),
    (*EXPORT, "--labels-coco", "boxes.json"),
    (*EXPORT, "--min-box-agreement", "90"),
    (*EXPORT, "--require-delegated", "90"),
    (*EXPORT, "--layout", "einsum"),
    (*EXPORT, "--stem", "plain"),
    (*EXPORT, "--model", "shvit_s2"),
    (*EXPORT, "--license", "mit"),
    (*EXPORT_INT8, "--pass", "none", "--pass", "gptq"),
    (*EXPORT_COREML, "--opset", "17"),
    (*EXPORT_COREML, "--quantize", "int8", "--deployment-target", "iOS16", "--calibration", "pictures"),
    (*EXPORT_COREML, "--block", "8", "--quantize", "int8-weights"),
    ("export", "--target", "onnx", "--model", "shvit_s2", *_OUT),
    ("calibrate", *_MODEL, *_OUT),
    (*CALIBRATE, "--labels-csv", "labels.csv"),
    (*CALIBRATE, "--labels-coco", "boxes.json"),
    (*CALIBRATE, "--cost", "bytes"),
    ("finetune", "pictures", *_MODEL),
    ("finetune", "flat", *_MODEL, "--recipe", "calibration/recipe.json", "--out", "new.json"),
    ("validate",),
    ("validate", ONNX_INT8, *_MODEL),
    ("validate", ONNX_INT8, "--images", "pictures"),
    ("validate", CHECKPOINT, *_MODEL, "--images", "pictures"),
    (*VALIDATE, "--cpu", "neon"),
    (*VALIDATE, "--max-drop", "1", "--images", "flat"),
    (*REPORT, "--json-out", "new.html"),
    ("report", "calibration/recipe.json", "--out", "new.html"),
    ("report", "report.json", "--out", "new.html"),
    (*DEVICES, "--out", "new.json", "--csv", "new.json"),
    (*DEVICES, "--max-slowdown", "5"),
    ("devices", "drift.json"),
    (*DEVICES, "--artifacts", CHECKPOINT),
    ("embed", PTE),
    ("embed", "--into", "android_app"),
    ("embed", ONNX_INT8, "--into", "ios_app"),
    ("embed", ARTIFACTS["coreml-int8"], "--into", "android_app"),
    ("embed", PTE, "--into", "pictures"),
    ("embed", PTE, PTE, "--into", "android_app", "--overwrite"),
    ("embed", PTE, "--into", "android_app"),
    ("embed", "--undo", "--into", "ios_app"),
    ("inspect", ONNX_INT8, "--compute-plan"),
    ("inspect", CHECKPOINT, "--goldens"),
    ("inspect", "pictures"),
    ("benchmark",),
    ("benchmark", CHECKPOINT),
)


def _write_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(16 << 30)


def _bind_socket(path: Path) -> None:
    # The path of a socket has 107 bytes at most.
    place = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"/proc/self/fd/{place}/{path.name}")
    os.close(place)


# Odd places by name: what creates one, and its path.
_ODD: dict[str, tuple[Callable[[Path], None], Arg]] = {
    "missing": (lambda _: None, "odd/missing"),
    "unnamed": (lambda _: None, b"odd/\xff\xfe"),
    "long": (lambda _: None, "odd/" + "n" * 300),
    "empty": (Path.touch, "odd/empty"),
    "text": (lambda path: path.write_text("something else\n", encoding="utf-8") and None, "odd/text"),
    "binary": (lambda path: path.write_bytes(bytes(range(256))) and None, "odd/binary"),
    "huge": (_write_huge, "odd/huge"),
    "pipe": (os.mkfifo, "odd/pipe"),
    "socket": (_bind_socket, "odd/socket"),
    "loop": (lambda path: path.symlink_to(path.name), "odd/loop"),
    "dangling": (lambda path: path.symlink_to("nowhere"), "odd/dangling"),
    "folder": (lambda path: (path / "inner").mkdir(parents=True), "odd/folder"),
    "zero": (lambda _: None, "/dev/zero"),
    "null": (lambda _: None, "/dev/null"),
    "proc": (lambda _: None, "/proc/new"),
    "beneath": (lambda _: None, "labels.txt/new"),
}
_FILES_TO_READ = (
    *("missing", "unnamed", "long", "empty", "text", "binary", "huge"),
    *("pipe", "socket", "loop", "dangling", "folder", "zero", "null", "beneath"),
)
_FOLDERS_TO_READ = ("missing", "unnamed", "long", "text", "pipe", "socket", "loop", "folder", "zero", "beneath")
_FILES_TO_WRITE = ("long", "text", "pipe", "socket", "loop", "folder", "null", "proc", "beneath")
_FOLDERS_TO_WRITE = ("long", "text", "pipe", "loop", "null", "proc", "beneath")

# An option, or None for the first argument, which is replaced; the suffix that a file of the kind has.
_PATHS: tuple[tuple[Command, str | None, str, tuple[str, ...]], ...] = (
    (EXPORT, "--checkpoint", ".safetensors", _FILES_TO_READ),
    (EXPORT, "--checkpoint", ".pth", _FILES_TO_READ),
    (EXPORT, "--labels", ".txt", tuple(name for name in _FILES_TO_READ if name != "binary")),
    (EXPORT, "--recipe", ".json", _FILES_TO_READ),
    (EXPORT_INT8, "--calibration", "", _FOLDERS_TO_READ),
    (EXPORT, "--validate", "", _FOLDERS_TO_READ),
    (EXPORT, "--golden-images", "", _FOLDERS_TO_READ),
    (EXPORT, "--out", "", _FOLDERS_TO_WRITE),
    (EXPORT_VALIDATED, "--report", ".json", _FILES_TO_WRITE),
    ((*EXPORT_VALIDATED, "--validate", "flat"), "--labels-csv", ".csv", _FILES_TO_READ),
    (CALIBRATE, None, "", _FOLDERS_TO_READ),
    (CALIBRATE, "--out", "", _FOLDERS_TO_WRITE),
    (FINETUNE, None, "", _FOLDERS_TO_READ),
    (FINETUNE, "--recipe", ".json", _FILES_TO_READ),
    (FINETUNE, "--out", ".json", _FILES_TO_WRITE),
    (VALIDATE, None, ".onnx", _FILES_TO_READ),
    (VALIDATE, None, ".mlpackage", _FILES_TO_READ),
    (VALIDATE, "--checkpoint", ".pth", _FILES_TO_READ),
    (VALIDATE, "--images", "", _FOLDERS_TO_READ),
    (VALIDATE, "--out", ".json", _FILES_TO_WRITE),
    (("inspect", PTE), None, ".pte", _FILES_TO_READ),
    (("inspect", CHECKPOINT), None, ".safetensors", _FILES_TO_READ),
    (REPORT, None, ".json", _FILES_TO_READ),
    (REPORT, None, "", _FOLDERS_TO_READ),
    (REPORT, "--out", ".html", _FILES_TO_WRITE),
    (REPORT, "--json-out", ".json", _FILES_TO_WRITE),
    (DEVICES, None, ".json", _FILES_TO_READ),
    (DEVICES, None, ".zip", _FILES_TO_READ),
    (DEVICES, "--artifacts", ".pte", _FILES_TO_READ),
    (DEVICES, "--baseline", ".json", _FILES_TO_READ),
    (DEVICES, "--out", ".json", _FILES_TO_WRITE),
    (DEVICES, "--csv", ".csv", _FILES_TO_WRITE),
    (EMBED, None, ".pte", _FILES_TO_READ),
    (EMBED, "--into", "", _FOLDERS_TO_READ),
    (BENCHMARK, None, ".onnx", _FILES_TO_READ),
    (BENCHMARK, "--out", ".json", _FILES_TO_WRITE),
)


def list_inputs() -> Iterator[tuple[str, tuple[Arg, ...], Callable[[Path], None]]]:
    """Yield all invalid inputs: a name, the arguments, and what creates the odd place that they name."""
    for number, args in enumerate(_CONTRADICTIONS):
        yield f"contradiction-{number}", args, lambda _: None
    for base, option, values in _VALUES:
        for value in values:
            separated = value.split() if option in ("--mean", "--std") and isinstance(value, str) else [value]
            yield f"{base[0]} {option} {value!r:.30}", (*base, option, *separated), lambda _: None
    for base, option, suffix, places in _PATHS:
        for place in places:
            create, path = _ODD[place]
            named = path if path in ("/dev/zero", "/dev/null") else _append(path, suffix)
            args = (*base, option, named) if option else (base[0], named, *base[2:])
            yield f"{base[0]} {option or 'argument'} {place}{suffix}", args, _create_at(create, named)


def _append(path: Arg, suffix: str) -> Arg:
    return path + suffix.encode() if isinstance(path, bytes) else path + suffix


def _create_at(create: Callable[[Path], None], path: Arg) -> Callable[[Path], None]:
    def create_in(folder: Path) -> None:
        (folder / "odd").mkdir()
        create(folder / os.fsdecode(path))

    return create_in
