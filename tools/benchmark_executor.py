"""How much longer Core ML packages take in the reference executor than their checkpoint takes in eager torch.

    shvit-mobile export --target coreml --precision fp32 --out artifacts/executor       # and fp16, int8-weights, int8
    python tools/benchmark_executor.py artifacts/executor/*.mlpackage

All run in one process on the same threads, batch by batch, each batch in an order of its own; so the machine is the
same for all. The eager model is the checkpoint as it was trained, BatchNorms and all, and gets tensors; the executor
gets pictures and makes its tensors itself. Prints a table in Markdown.
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
    checkpoint: Annotated[str, typer.Option(help="What they were made from.")] = str(CHECKPOINT),
    folder: Annotated[Path, typer.Option(help="Images; used again and again where they are fewer.")] = TEST_IMAGES,
    images: Annotated[int, typer.Option(min=1, help="Images in all.")] = 1000,
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 32,
    threads: Annotated[int, typer.Option(min=1, help="Of torch.")] = 1,
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
        for name, run, given in random.Random(turn).sample(jobs, len(jobs)):
            begun = time.perf_counter()
            run(given)
            if turn > 0:
                seconds[name].append(time.perf_counter() - begun)
    print(format_table(seconds, images))


def iterate_pictures(folder: Path, preprocessing: Preprocessing, images: int, batch: int) -> Iterator[Pixels]:
    """So many images, a batch at a time."""
    some = np.concatenate([found.pixels for found in iterate_batches(open_images(folder), preprocessing)])
    order = np.fromiter(islice(cycle(range(len(some))), images), int)
    for first in range(0, images, batch):
        yield some[order[first : first + batch]]


def add_warm_up(turns: Iterator[Pixels]) -> Iterator[Pixels]:
    first = next(turns)
    yield first
    yield first
    yield from turns


def format_table(seconds: dict[str, list[float]], images: int) -> str:
    """The whole time of each, and how many times as long as eager torch, with the interval of the batches' ratios."""
    lines = [f"| {images:,} images | s | times as long |", "|---|---:|---:|"]
    for name, taken in seconds.items():
        times = ""
        if name != EAGER:
            by_batch = compute_speed_ratio(taken, seconds[EAGER])
            times = f"{sum(taken) / sum(seconds[EAGER]):.2f} ({by_batch.low:.2f}–{by_batch.high:.2f})"
        lines.append(f"| {name} | {sum(taken):.1f} | {times} |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
