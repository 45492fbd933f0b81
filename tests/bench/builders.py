"""Contestants that are quickly made: one linear layer for ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from shvit_mobile.bench.contestant import BenchmarkSubject
from shvit_mobile.contracts.device_report import BenchmarkSettings

QUICK = BenchmarkSettings(threads=1, batch=1, rounds=6, warm_up=1, iterations=3, timed="runtime-call")


def write_matmul_subject(folder: Path, name: str, side: int = 8) -> BenchmarkSubject:
    """A product of an input of `side` x `side` with a matrix."""
    path = folder / f"{name}.onnx"
    shape = [side, side]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.ones(shape, np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return BenchmarkSubject(name, "onnxruntime", "fp32", str(path), (side, side), macs=side**3)
