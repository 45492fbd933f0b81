"""Measures the rooflines of this machine: the peak throughput of the installed libraries in fp32 and in int8.

Each library multiplies square matrices that fit the cache. The fastest is not a hard limit, only the best of what is
installed; reports name it.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from shvit_mobile.bench.contestant import BenchmarkSubject
from shvit_mobile.bench.engines import is_installed
from shvit_mobile.bench.stock import export_xnnpack

_SIDE = 512
_MACS = _SIDE**3


def build_roofline_subjects(folder: Path) -> list[BenchmarkSubject]:
    """Return matrix products as contestants; their files are written into `folder`."""
    subjects = [
        _create_matmul_subject("ONNX Runtime MatMul", "fp32", _write_matmul_onnx(folder / "matmul.onnx", int8=False)),
        _create_matmul_subject(
            "ONNX Runtime QLinearMatMul", "int8", _write_matmul_onnx(folder / "qlinear.onnx", int8=True)
        ),
    ]
    if is_installed("executorch"):
        for precision in ("fp32", "int8"):
            torch.manual_seed(0)
            linear, values = nn.Linear(_SIDE, _SIDE).eval(), torch.rand(_SIDE, _SIDE)
            path = export_xnnpack(linear, [values], folder / f"linear-{precision}.pte", precision)
            subjects.append(_create_matmul_subject("XNNPACK linear", precision, path))
    return subjects


def _create_matmul_subject(name: str, precision: str, path: Path) -> BenchmarkSubject:
    engine = "executorch" if path.suffix == ".pte" else "onnxruntime"
    return BenchmarkSubject(
        name=f"{name} in {precision}",
        engine=engine,  # type: ignore[arg-type]
        precision=precision,
        source=str(path),
        shape=(_SIDE, _SIDE),
        dtype="uint8" if engine == "onnxruntime" and precision == "int8" else "float32",
        macs=_MACS,
    )


def _write_matmul_onnx(path: Path, *, int8: bool) -> Path:
    """Write a product with a constant matrix; in int8 both sides and the result are 8-bit integers."""
    generator = np.random.default_rng(0)
    side = helper.make_tensor_value_info
    if int8:
        weight = numpy_helper.from_array(generator.integers(-127, 127, (_SIDE, _SIDE), dtype=np.int8), "w")
        scale = numpy_helper.from_array(np.float32(0.01), "scale")
        zero, signed = numpy_helper.from_array(np.uint8(128), "zero"), numpy_helper.from_array(np.int8(0), "signed")
        node = helper.make_node("QLinearMatMul", ["x", "scale", "zero", "w", "scale", "signed", "scale", "zero"], ["y"])
        constants, dtype = [weight, scale, zero, signed], TensorProto.UINT8
    else:
        weight = numpy_helper.from_array(generator.standard_normal((_SIDE, _SIDE)).astype(np.float32), "w")
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
        constants, dtype = [weight], TensorProto.FLOAT
    graph = helper.make_graph(
        [node], "product", [side("x", dtype, [_SIDE, _SIDE])], [side("y", dtype, [_SIDE, _SIDE])], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path
