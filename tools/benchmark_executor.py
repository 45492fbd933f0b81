"""Measure how much longer Core ML packages take in the reference executor than their checkpoint in eager PyTorch.

    shvit-mobile export --target coreml --quantize fp32 --quantize fp16 --quantize int8 --out artifacts/executor
    python tools/benchmark_executor.py artifacts/executor/*.mlpackage

All run in one process on the same threads, batch by batch, in a random order per batch, so that conditions are the same
for all. The eager model is the checkpoint as it was trained, with its BatchNorms, and gets tensors. The executor gets
pictures and makes its tensors itself. The result is a table in Markdown.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from shvit_mobile.bench.statistics import compute_speed_ratio
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.demo import CHECKPOINT, TEST_IMAGES
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import open_images
from shvit_mobile.runtimes.coreml import CoreMLRunner

Pixels = NDArray[np.uint8]
EAGER = "eager torch"


def main(
    artifacts: Annotated[list[Path], typer.Argument(help="Core ML packages of the checkpoint.")],
    checkpoint: Annotated[str, typer.Option(help="The checkpoint that they were exported from.")] = str(CHECKPOINT),
    folder: Annotated[Path, typer.Option(help="Images; repeated if there are too few.")] = TEST_IMAGES,
    images: Annotated[int, typer.Option(min=1, help="The number of images.")] = 1000,
    batch: Annotated[int, typer.Option(min=1, help="Images per batch.")] = 32,
    threads: Annotated[int, typer.Option(min=1, help="Threads of PyTorch.")] = 1,
) -> None:
    torch.set_num_threads(threads)
    trained = load_checkpoint(checkpoint)
    runners = {path.stem: CoreMLRunner(Artifact.open(path)) for path in artifacts}
    eager = torch.inference_mode()(trained.model.eval())
    preprocessing = trained.preprocessing
    seconds: dict[str, list[float]] = {name: [] for name in (EAGER, *runners)}
    for turn, pixels in enumerate(add_warm_up(iterate_pictures(folder, preprocessing, images, batch))):
        tensors = torch.from_numpy(preprocessing.normalize(pixels))
        jobs: list[tuple[str, Callable[[Any], object], Any]] = [(EAGER, eager, tensors)]
        jobs += [(name, runner.run, pixels) for name, runner in runners.items()]
        for name, run, inputs in random.Random(turn).sample(jobs, len(jobs)):
            start = time.perf_counter()
            run(inputs)
            if turn > 0:
                seconds[name].append(time.perf_counter() - start)
    print(format_table(seconds, images))


def iterate_pictures(folder: Path, preprocessing: Preprocessing, images: int, batch: int) -> Iterator[Pixels]:
    """Yield `images` images, a batch at a time."""
    pixels = np.concatenate(
        [batch_images.pixels for batch_images in iterate_batches(open_images(folder), preprocessing)]
    )
    order = np.fromiter(islice(cycle(range(len(pixels))), images), int)
    for first in range(0, images, batch):
        yield pixels[order[first : first + batch]]


def add_warm_up(turns: Iterator[Pixels]) -> Iterator[Pixels]:
    first = next(turns)
    yield first
    yield first
    yield from turns


def format_table(seconds: dict[str, list[float]], images: int) -> str:
    """Format the total time of each, and its ratio to eager PyTorch with the interval of the batches' ratios."""
    lines = [f"| {images:,} images | s | times as long |", "|---|---:|---:|"]
    for name, times_taken in seconds.items():
        times = ""
        if name != EAGER:
            by_batch = compute_speed_ratio(times_taken, seconds[EAGER])
            times = f"{sum(times_taken) / sum(seconds[EAGER]):.2f} ({by_batch.low:.2f}–{by_batch.high:.2f})"
        lines.append(f"| {name} | {sum(times_taken):.1f} | {times} |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
