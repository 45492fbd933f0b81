"""Measure what the goldens' tolerances are based on: how far correct kernels differ, and how far a fault moves logits.

    make demo
    python tools/golden_tolerances.py artifacts/demo [--arch arm64]

Both are shares of the largest logit of four pictures. Kernels are compared on draws of four of the demo's test images;
the median and the worst of 20,000 draws are printed. Faults are measured on the goldens themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import torch
import typer
from numpy.typing import NDArray
from torch import nn

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.demo import CHECKPOINT, TEST_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.goldens import load_default_golden_images, preprocess_golden_images
from shvit_mobile.runtimes import open_runner
from shvit_mobile.runtimes.arm64.cpus import find_cpu
from shvit_mobile.runtimes.arm64.runner import ARM64Runner
from shvit_mobile.runtimes.mil.program import ComputeMode, CoreMLProgram
from shvit_mobile.runtimes.runner import prepare_input
from shvit_mobile.targets.tolerances import INT8_TOLERANCE_SHARES, TOLERANCE_SHARES

Pixels = NDArray[np.uint8]
Logits = NDArray[np.float32]
ModelFunction = Callable[[Pixels], Logits]
STEM = "shvit_s1-224"
DRAWS, IMAGES_PER_DRAW, BATCH_SIZE = 20_000, 4, 16
HALF_SUMS = 8  # input channels that are added before the sum is rounded to fp16


def main(
    folder: Annotated[Path, typer.Argument(help="The folder that `make demo` wrote.")],
    count: Annotated[int, typer.Option(help="The number of test images.")] = 500,
    arch: Annotated[str, typer.Option(help="arm64: compare with emulated ARM64 too.")] = "",
) -> None:
    trained = load_checkpoint(CHECKPOINT)
    images = open_images(TEST_IMAGES, labels=trained.labels).sample(count, 0)
    pixels = np.concatenate([batch.pixels for batch in iterate_batches(images, trained.preprocessing)])
    deployed = to_deploy_form(trained)
    print("| kernels | median of 4 | worst draw of 4 |\n|---|---|---|")
    for name, first, second in list_kernel_pairs(folder, deployed, arm64=arch == "arm64"):
        middle, worst = measure_divergence(first(pixels), second(pixels))
        print(f"| {name} | {middle:.1e} | {worst:.1e} |", flush=True)
    goldens = preprocess_golden_images(load_default_golden_images(), trained.preprocessing)
    moved = measure_weight_faults(deployed, goldens)
    print("\n| tolerance | layers where scaling the weights by 1.05 is detected |\n|---|---|")
    for share in sorted({*TOLERANCE_SHARES.values(), *INT8_TOLERANCE_SHARES.values()}):
        print(f"| {share:g} | {sum(one > share for one in moved)} of {len(moved)} |")
    expected = deployed.run(goldens).numpy()
    for name, wrong in list_input_faults(goldens, deployed):
        print(f"{name}: {compute_share(expected, deployed.run(wrong).numpy()):.2g}")


def list_kernel_pairs(
    folder: Path, deployed: DeployForm, *, arm64: bool
) -> Iterator[tuple[str, ModelFunction, ModelFunction]]:
    """Yield pairs of correct kernels for the same computation, by name."""

    def opened(what: str) -> Artifact:
        return Artifact.open(next(path for path in folder.glob(f"{STEM}-{what}.*") if path.suffix[1] in "opm"))

    float32 = open_runner(opened("onnx-fp32")).run
    yield "fp32: ONNX Runtime, ExecuTorch", float32, open_runner(opened("executorch-fp32")).run
    yield "fp32: ONNX Runtime, Core ML reference", float32, make_reference_function(opened("coreml-fp32"), "fp32")
    for precision in ("fp16", "int8-weights", "int8"):
        package = opened(f"coreml-{precision}")
        yield (
            f"{precision}: Core ML in fp16, in fp32",
            make_reference_function(package, "fp16"),
            make_reference_function(package, "fp32"),
        )
    yield (
        "fp16: float32, sums kept in fp16",
        lambda p: deployed.run(p).numpy(),
        make_fp16_sum_function(deployed),
    )
    integer = opened("onnx-int8")
    yield "int8: ONNX Runtime fused, node by node", open_runner(integer).run, make_unfused_function(integer)
    for artifact in map(opened, ("executorch-fp32", "executorch-int8")) if arm64 else ():
        with ARM64Runner(artifact, find_cpu("dotprod")) as emulated:
            yield f"{artifact.manifest.precision}: ExecuTorch x86, ARM64", open_runner(artifact).run, emulated.run


def make_reference_function(artifact: Artifact, mode: ComputeMode) -> ModelFunction:
    """Return a function that runs a package in the reference executor, with the rounding of fp16 or without."""
    loaded, manifest = CoreMLProgram(artifact.path, mode=mode), artifact.manifest

    def answer(pixels: Pixels) -> Logits:
        logits = loaded({manifest.input.name: pixels})[manifest.output.logits]
        return np.asarray(logits, np.float32).reshape(len(pixels), -1)

    return answer


def make_unfused_function(artifact: Artifact) -> ModelFunction:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(artifact.path), options)
    name = session.get_inputs()[0].name

    def answer(pixels: Pixels) -> Logits:
        parts = [pixels[first : first + BATCH_SIZE] for first in range(0, len(pixels), BATCH_SIZE)]
        values = (prepare_input(artifact.manifest, part) for part in parts)
        return np.concatenate([session.run(None, {name: value})[0] for value in values])

    return answer


def make_fp16_sum_function(deployed: DeployForm) -> ModelFunction:
    """Return a function that runs the deploy form like a processor that accumulates in fp16."""

    def dense(layer: nn.Conv2d, values: torch.Tensor) -> torch.Tensor:
        weight, values = layer.weight.half().float(), values.half().float()
        step = HALF_SUMS if layer.groups == 1 else weight.shape[1]
        total = torch.zeros(1)
        for first in range(0, weight.shape[1], step):
            some = values if layer.groups > 1 else values[:, first : first + step]
            part = weight[:, first : first + step]
            product = nn.functional.conv2d(some, part, None, layer.stride, layer.padding, 1, layer.groups)
            total = (total + product.half().float()).half().float()
        return total if layer.bias is None else (total + layer.bias[:, None, None]).half().float()

    def answer(pixels: Pixels) -> Logits:
        layers = [layer for layer in deployed.module.modules() if isinstance(layer, nn.Conv2d)]
        hooks = [layer.register_forward_hook(lambda one, given, _: dense(one, given[0])) for layer in layers]
        try:
            starts = range(0, len(pixels), BATCH_SIZE)
            return np.concatenate([deployed.run(pixels[first : first + BATCH_SIZE]).numpy() for first in starts])
        finally:
            for hook in hooks:
                hook.remove()

    return answer


def measure_divergence(first: Logits, second: Logits) -> tuple[float, float]:
    """Return the median and the largest share over many draws of four images."""
    differences, sizes = np.abs(first - second).max(axis=1), np.abs(first).max(axis=1)
    drawn = np.random.default_rng(0).integers(0, len(first), (DRAWS, IMAGES_PER_DRAW))
    shares = differences[drawn].max(axis=1) / sizes[drawn].max(axis=1)
    return float(np.median(shares)), float(shares.max())


def compute_share(expected: Logits, actual: Logits) -> float:
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


@torch.inference_mode()
def measure_weight_faults(deployed: DeployForm, pixels: Pixels) -> list[float]:
    """Measure, for each layer, how far the logits move if its weights are scaled by 1.05."""
    expected = deployed.run(pixels).numpy()
    moved = []
    layers: list[Any] = [one for one in deployed.module.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    for layer in layers:
        right = layer.weight.clone()
        layer.weight.mul_(1.05)
        moved.append(compute_share(expected, deployed.run(pixels).numpy()))
        layer.weight.copy_(right)
    return moved


def list_input_faults(pixels: Pixels, deployed: DeployForm) -> Iterator[tuple[str, Pixels]]:
    """Yield what an app may do wrong with correct pixels."""
    yield "color channels swapped", np.ascontiguousarray(pixels[..., ::-1])
    normalized = deployed.trained.preprocessing.normalize(pixels).transpose(0, 2, 3, 1)
    yield "normalized twice", np.clip(normalized, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    typer.run(main)
