"""Compare two ONNX files of one model: constants, operators after ONNX Runtime's optimizations, logits and latency.

    python tools/compare_onnx.py FIRST.onnx SECOND.onnx

The files run in turns on one thread, each in its own process. This decided whether PyTorch's exporter could replace a
writer made for SHViT: docs/architecture.md, "ONNX".
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import onnx
import onnxruntime
import typer
from numpy.typing import NDArray
from onnx import numpy_helper

from shvit_mobile.bench.contestant import BenchmarkSubject
from shvit_mobile.bench.interleave import run_interleaved
from shvit_mobile.bench.statistics import compute_speed_ratio
from shvit_mobile.contracts.device_report import BenchmarkSettings
from shvit_mobile.metrics import sqnr
from shvit_mobile.runtimes.onnxruntime import make_session_options


def main(
    first: Path,
    second: Path,
    rounds: Annotated[int, typer.Option(help="The number of turns of each file.")] = 60,
    iterations: Annotated[int, typer.Option(help="The number of runs in a turn.")] = 10,
    images: Annotated[int, typer.Option(help="The number of random images that the logits are compared on.")] = 8,
) -> None:
    compare_constants(first, second)
    shape = read_shape(first)
    pixels = np.random.default_rng(0).uniform(0, 255, (images, 1, *shape)).astype(np.float32)
    logits = [run(path, pixels) for path in (first, second)]
    print(f"logits of the second against the first: {sqnr(*logits):.1f} dB")
    for path in (first, second):
        print(f"{path}: {path.stat().st_size} bytes; optimized: {format_operators(path)}")
    settings = BenchmarkSettings(threads=1, batch=1, rounds=rounds, warm_up=3, iterations=iterations)
    subjects = [BenchmarkSubject(str(path), "onnxruntime", "fp32", str(path), (1, *shape)) for path in (first, second)]
    one, other = run_interleaved(subjects, settings).runs
    ratio = compute_speed_ratio(other.round_medians, one.round_medians)
    print(f"latency of the second / the first: {ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")


def compare_constants(first: Path, second: Path) -> None:
    """Print how many constants of the same name are equal."""
    one, other = (
        {constant.name: numpy_helper.to_array(constant) for constant in onnx.load(path).graph.initializer}
        for path in (first, second)
    )
    shared = sorted(one.keys() & other.keys())
    different = [
        name for name in shared if one[name].dtype != other[name].dtype or not np.array_equal(one[name], other[name])
    ]
    print(f"constants: {len(one)} and {len(other)}, {len(shared)} of the same name, different: {different}")


def read_shape(path: Path) -> tuple[int, ...]:
    """Return the shape of the input without the batch."""
    dims = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    return tuple(dim.dim_value for dim in dims[1:])


def run(path: Path, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, make_session_options(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image})[0] for image in pixels])


def format_operators(path: Path) -> str:
    """Return the operators that ONNX Runtime runs, with their numbers."""
    options = make_session_options()
    with TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(options.optimized_model_filepath).graph.node
    return ", ".join(
        f"{count} {operator}" for operator, count in sorted(Counter(node.op_type for node in nodes).items())
    )


if __name__ == "__main__":
    typer.run(main)
