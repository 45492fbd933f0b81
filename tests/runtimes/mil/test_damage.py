"""Packages that are damaged, foreign or beyond the executor: each refused with the exact place, none crashing."""

from __future__ import annotations

import json
import random as chance
import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb  # noqa: N813
from coremltools.proto import MIL_pb2, Model_pb2
from torch import nn

from shvit_mobile.errors import BadArtifact, UnsupportedOperator
from shvit_mobile.runtimes.mil.program import CoreMLProgram
from tests.runtimes.mil.packages import OperatorCase, convert_module, draw_array, save_cases, save_model

X = {"x": draw_array(1, 4, 6, 6)}
MODEL = Path("Data/com.apple.CoreML/model.mlmodel")
WEIGHTS = Path("Data/com.apple.CoreML/weights/weight.bin")
RECORD = 64  # where the first record of weight.bin lies


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.linear = nn.Conv2d(4, 8, 3), nn.Linear(8, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.conv(x).relu().mean((2, 3))).softmax(-1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = save_model(
        convert_module(Small().eval(), *X["x"].shape), tmp_path_factory.mktemp("damage") / "small.mlpackage"
    )
    model = Model_pb2.Model()
    model.ParseFromString((path / MODEL).read_bytes())
    (path / MODEL).write_bytes(model.SerializeToString(deterministic=True))
    return path


@pytest.fixture
def package(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "small.mlpackage"))


def overwrite(file: Path, offset: int, data: bytes) -> None:
    content = bytearray(file.read_bytes())
    content[offset : offset + len(data)] = data
    file.write_bytes(bytes(content))


def edit(package: Path, change: Callable[[Any], None]) -> None:
    """Changes the model message; `change` gets the whole of it."""
    model = Model_pb2.Model()
    model.ParseFromString((package / MODEL).read_bytes())
    change(model)
    (package / MODEL).write_bytes(model.SerializeToString())


def get_block(model: Any) -> Any:
    function = model.mlProgram.functions["main"]
    return function.block_specializations[function.opset]


def find_operation(model: Any, kind: str) -> Any:
    return next(op for op in get_block(model).operations if op.type == kind)


def find_blob(model: Any) -> Any:
    """The first weight that lies in the file."""
    values = (op.attributes["val"] for op in get_block(model).operations if op.type == "const")
    return next(value for value in values if value.WhichOneof("value") == "blobFileValue")


def change_manifest(package: Path, **changes: Any) -> None:
    file = package / "Manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def change_root_path(package: Path, path: Any) -> None:
    change_manifest(package, rootModelIdentifier="A", itemInfoEntries={"A": {"path": path}})


def replace_with_loop(package: Path) -> None:
    (package / MODEL).unlink()
    (package / MODEL).symlink_to(MODEL.name)


def damage_model(change: Callable[[Any], None]) -> Callable[[Path], None]:
    return lambda package: edit(package, change)


def damage_weights(offset: int, data: bytes) -> Callable[[Path], None]:
    return lambda package: overwrite(package / WEIGHTS, offset, data)


def truncate_weights(at: int) -> Callable[[Path], None]:
    def cut(package: Path) -> None:
        (package / WEIGHTS).write_bytes((package / WEIGHTS).read_bytes()[:at])

    return cut


def declare_size(kind: str, size: int) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        find_operation(model, kind).outputs[0].type.tensorType.dimensions[1].constant.size = size

    return change


def change_dtype(model: Any) -> None:
    find_operation(model, "relu").outputs[0].type.tensorType.dataType = MIL_pb2.INT32


def set_neural_network(model: Any) -> None:
    model.neuralNetwork.SetInParent()


def set_float8_weight(model: Any) -> None:
    find_blob(model).type.tensorType.dataType = MIL_pb2.FLOAT8E5M2


def set_inline_weight(model: Any) -> None:
    value = find_blob(model)
    value.ClearField("blobFileValue")
    value.immediateValue.tensor.floats.values.extend([1.0, 2.0])


def clear_weight(model: Any) -> None:
    find_blob(model).ClearField("blobFileValue")


# name: (what happens to the package, what the error must say)
DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "package missing": (shutil.rmtree, "small.mlpackage does not exist"),
    "package a file": (
        lambda p: (shutil.rmtree(p), p.write_text("x", encoding="utf-8")),
        "small.mlpackage is not a folder",
    ),
    "manifest missing": (lambda p: (p / "Manifest.json").unlink(), "Manifest.json does not exist"),
    "manifest garbled": (
        lambda p: (p / "Manifest.json").write_bytes(b"\xff\xfe{"),
        "Manifest.json is not the manifest of a package",
    ),
    "manifest cut": (
        lambda p: (p / "Manifest.json").write_text('{"itemInfo', encoding="utf-8"),
        "Manifest.json is not the manifest of a package",
    ),
    "manifest a list": (
        lambda p: (p / "Manifest.json").write_text("[]", encoding="utf-8"),
        "Manifest.json names no root model",
    ),
    "manifest without root": (lambda p: change_manifest(p, rootModelIdentifier="?"), "names no root model: '\\?'"),
    "root not a path": (lambda p: change_root_path(p, 7), "names 7 as its root model"),
    "root outside": (lambda p: change_root_path(p, "../../other"), "Manifest.json leads out of the package"),
    "root absolute": (lambda p: change_root_path(p, "/etc/passwd"), "Manifest.json leads out of the package"),
    "root with a zero": (lambda p: change_root_path(p, "a\0b"), "Manifest.json leads out of the package"),
    "model a loop": (replace_with_loop, "model.mlmodel cannot be read"),
    "model missing": (lambda p: (p / MODEL).unlink(), "model.mlmodel does not exist"),
    "model garbage": (lambda p: (p / MODEL).write_bytes(b"\x07garbage" * 9), "model.mlmodel is not a Core ML model"),
    "model cut": (lambda p: (p / MODEL).write_bytes((p / MODEL).read_bytes()[:-5]), "is not a Core ML model"),
    "model empty": (lambda p: (p / MODEL).write_bytes(b""), "is not an ML Program.\nIt holds no model"),
    "neural network": (damage_model(set_neural_network), "is not an ML Program.\nIt holds neuralNetwork"),
    "function missing": (damage_model(lambda m: m.mlProgram.functions.pop("main")), "has no function 'main'"),
    "block missing": (
        damage_model(lambda m: m.mlProgram.functions["main"].block_specializations.clear()),
        "no block for its opset",
    ),
    "weights missing": (lambda p: (p / WEIGHTS).unlink(), "const '.*weight.bin does not exist"),
    "weights empty": (truncate_weights(0), "weight.bin has 0 bytes, fewer than its header"),
    "weights without records": (truncate_weights(100), "weight.bin has 100 bytes, and no record can lie at 64"),
    "weights cut": (truncate_weights(300), "weight.bin ends at 300, before the data 128 to"),
    "weights version": (damage_weights(4, struct.pack("<I", 9)), "has the version 9 in its header"),
    "weights sentinel": (damage_weights(RECORD, b"\0"), "no record at 64: 0xdeadbe00 where 0xdeadbeef"),
    "weights dtype": (damage_weights(RECORD + 4, struct.pack("<I", 4)), "has INT8 at 64, where .* expects FLOAT32"),
    "weights dtype unknown": (damage_weights(RECORD + 4, struct.pack("<I", 77)), "has the data type 77 at 64"),
    "weights size": (damage_weights(RECORD + 8, struct.pack("<Q", 4)), "has 4 bytes of data for 64, where FLOAT32"),
    "weights data beyond": (damage_weights(RECORD + 16, struct.pack("<Q", 1 << 40)), "before the data 1099511627776"),
    "blob outside": (
        damage_model(lambda m: setattr(find_blob(m).blobFileValue, "fileName", "@model_path/../../../x.bin")),
        "leads out of the package, to '../../../x.bin'",
    ),
    "blob elsewhere": (
        damage_model(lambda m: setattr(find_blob(m).blobFileValue, "fileName", "/etc/passwd")),
        "takes weights from '/etc/passwd'",
    ),
    "blob offset": (
        damage_model(lambda m: setattr(find_blob(m).blobFileValue, "offset", 1 << 20)),
        "no record can lie at 1048576",
    ),
    "blob offset unaligned": (
        damage_model(lambda m: setattr(find_blob(m).blobFileValue, "offset", 65)),
        "no record can lie at 65",
    ),
    "weight of an unknown dtype": (damage_model(set_float8_weight), "const '.*FLOAT8E5M2"),
    "weight inline, too short": (damage_model(set_inline_weight), "holds 2 floats for a constant FLOAT32"),
    "weight without value": (damage_model(clear_weight), "holds nothing for a constant FLOAT32"),
    "shape not declared": (
        damage_model(declare_size("conv", 9)),
        r"conv '.*gives the shape \(1, 8, 4, 4\), declared is",
    ),
    "dtype not declared": (damage_model(change_dtype), "relu '.*gives torch.float32, declared is torch.int32"),
    "input lost": (
        damage_model(lambda m: find_operation(m, "conv").inputs.pop("weight")),
        "conv '.*lacks its inputs weight",
    ),
    "source lost": (
        damage_model(lambda m: setattr(find_operation(m, "relu").inputs["x"].arguments[0], "name", "gone")),
        "relu '.*takes 'gone', which no operation before it computes",
    ),
    "output lost": (damage_model(lambda m: get_block(m).outputs.append("gone")), "computes no gone"),
    "operator fails": (
        damage_model(lambda m: setattr(find_operation(m, "linear").inputs["x"].arguments[0], "name", "x")),
        "linear '.*mat1 and mat2 shapes cannot be multiplied",
    ),
}


def run_package(package: Path) -> dict[str, Any]:
    return CoreMLProgram(package)(X)


def test_the_undamaged_package_runs(package):
    with torch.inference_mode():
        expected = Small().eval()(torch.from_numpy(X["x"]))
    np.testing.assert_allclose(run_package(package)["y"], expected, atol=1e-6)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_package_is_rejected_with_the_location(package, damage):
    do, says = DAMAGES[damage]
    do(package)
    with pytest.raises(BadArtifact, match=f"(?s){says}") as caught:
        run_package(package)
    assert "small.mlpackage" in caught.value.what


@pytest.mark.parametrize("file", [MODEL, WEIGHTS, Path("Manifest.json")], ids=lambda file: file.name)
def test_random_damage_never_crashes(package, file):
    content = (package / file).read_bytes()
    dice = chance.Random(1)
    for _ in range(40):
        damaged = bytearray(content[: dice.randrange(len(content))] if dice.random() < 0.3 else content)
        for _ in range(dice.randrange(1, 4) if damaged else 0):
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        (package / file).write_bytes(bytes(damaged))
        with suppress(BadArtifact):
            assert run_package(package)  # nothing else may be raised


def test_all_unknown_operators_are_listed_with_their_counts(tmp_path):
    def build(x: Any) -> Any:
        return mb.relu(x=mb.sinh(x=mb.atan(x=mb.atan(x=mb.atan(x=x)))))

    path = save_cases({"strange": OperatorCase(build, None, (draw_array(2, 3),))}, tmp_path / "strange.mlpackage")
    with pytest.raises(UnsupportedOperator, match=r"strange.mlpackage .*atan \(3\), sinh \(1\)"):
        CoreMLProgram(path)


def test_an_unknown_form_of_an_operator_is_rejected_before_anything_runs(package, tmp_path):
    def strange_input(model: Any) -> None:
        conv = find_operation(model, "conv")
        conv.inputs["sparsity"].CopyFrom(conv.inputs["weight"])

    edit(package, strange_input)
    with pytest.raises(UnsupportedOperator, match=r"conv '.*has the unknown inputs sparsity"):
        CoreMLProgram(package)

    def computed(x: Any) -> Any:
        return mb.reshape(x=x, shape=mb.cast(x=mb.reduce_max(x=x, axes=[1]), dtype="int32"))

    path = save_cases(
        {"r": OperatorCase(computed, None, (draw_array(2, 3),))}, tmp_path / "r.mlpackage", ct.target.iOS17
    )
    with pytest.raises(UnsupportedOperator, match=r"reshape '.*computes its 'shape'"):
        CoreMLProgram(path)
