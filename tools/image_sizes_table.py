"""Measure what an image size costs: the table and the chart of docs/benchmarks.md.

    taskset -c 0 python tools/image_sizes_table.py --out build/sizes

For each variant and precision, this tool writes one ExecuTorch program with a method for each size, and runs all
methods of a variant in turns, on one thread. Weights are random, because their values change neither latency nor
memory. int8 is plain, calibrated on a few pictures. Existing programs are not written again. Times are of the
processor, which on one thread are those of a clock, unless other processes take turns.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Annotated, Any, cast

import torch
import typer
from benchmark_variants import CALIBRATION_COUNT, randomize_norms

from shvit_mobile.bench.macs import count_macs
from shvit_mobile.bench.statistics import compute_speed_ratio
from shvit_mobile.contracts.manifest import DEFAULT_METHOD
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.demo import CALIBRATION_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.families.shvit import VARIANTS, create_shvit
from shvit_mobile.families.shvit_family import SHVIT
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.image_set import open_images
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.report.charts.svg import AxisScale, create_element
from shvit_mobile.runtimes.executorch import load_program
from shvit_mobile.targets.executorch import ExecuTorchOptions, build
from shvit_mobile.targets.image_sizes import list_sizes

# The stride of the first stage with attention, whose positions are the tokens.
STRIDE = 32
# A turn takes at least this long, so that a switch of processes does not show.
TURN_SECONDS = 0.05
MEGABYTE = 1e6
WIDTH, HEIGHT, MARGIN = 640, 400, 56
LINE = 13
COLORS = ("#2a9d8f", "#8d99ae", "#e9a13b", "#d1495b")


@dataclass(frozen=True)
class Cost:
    """What an image of one size costs.

    Attributes:
        side: In pixels.
        gmacs: Multiply-adds, in 10^9.
        squared_share: The share of them that grows with the square of the tokens.
        samples: By precision, the milliseconds of processor time of each round.
        running_mb: By precision, the memory of a loaded method after an inference: packed weights and buffers.
    """

    side: int
    gmacs: float
    squared_share: float
    samples: dict[Precision, list[float]]
    running_mb: dict[Precision, float]

    @property
    def tokens(self) -> int:
        return count_tokens(self.side, STRIDE)


def main(
    out: Annotated[Path, typer.Option(help="The folder for programs and the chart.")],
    variants: Annotated[str, typer.Option(help="The variants, separated by commas.")] = ",".join(VARIANTS),
    sizes: Annotated[str, typer.Option(help="Sides in pixels, separated by commas.")] = "224,384,512,1024",
    precisions: Annotated[str, typer.Option(help="Precisions, separated by commas.")] = "fp32,int8",
    rounds: Annotated[int, typer.Option(help="The number of turns of each method.")] = 11,
) -> None:
    from executorch.extension.pybindings import _portable_lib

    out.mkdir(parents=True, exist_ok=True)
    sides = [int(side) for side in sizes.split(",")]
    costs = {}
    for variant in variants.split(","):
        named = cast(list[Precision], precisions.split(","))
        programs = {precision: write_program(variant, precision, sides, out) for precision in named}
        torch.set_num_threads(1)
        _portable_lib._unsafe_reset_threadpool(1)
        costs[variant] = measure_costs(variant, sides, programs, rounds)
        print(f"\n{variant}: " + ", ".join(f"{p.stat().st_size / MEGABYTE:.2f} MB {k}" for k, p in programs.items()))
        print_table(costs[variant])
        (out / "sizes.svg").write_text(draw_chart(costs), encoding="utf-8")


def write_program(variant: str, precision: Precision, sides: list[int], out: Path) -> Path:
    """Write the program of a variant for several sizes, if it is not there."""
    first, *others = ((side, side) for side in sides)
    options = ExecuTorchOptions(more_sizes=tuple(others))
    path = out / f"{variant}-{precision}{options.suffix}.pte"
    if not path.exists():
        torch.manual_seed(0)
        trained = TrainedModel(
            model=randomize_norms(create_shvit(variant)),
            family=SHVIT,
            variant=variant,
            dialect="shvit-mobile",
            labels=tuple(f"class {index}" for index in range(1000)),
            preprocessing=Preprocessing(size=first),
            source=variant,
            sha256="0" * 64,
        )
        deployed = to_deploy_form(trained)
        images = open_images(CALIBRATION_IMAGES)
        recipe, _ = calibrate_recipe(deployed, images, precision=precision, count=CALIBRATION_COUNT)
        partial = path.with_suffix(".partial")
        built = build(deployed, recipe, partial, options)
        if built.delegation is None or built.delegation.delegates != 1 or built.delegation.left_operators:
            raise SystemExit(f"{path.name} is not one delegate: {built.delegation}")
        partial.replace(path)
    return path


def measure_costs(variant: str, sides: list[int], programs: dict[Precision, Path], rounds: int) -> list[Cost]:
    """Run the methods of all sizes and precisions in turns."""
    model = create_shvit(variant)
    methods = dict(zip(sides, list_methods(sides), strict=True))
    costs = []
    for side in sides:
        running = {name: measure_memory(path, methods[side], side) for name, path in programs.items()}
        gmacs = count_macs(model, (1, 3, side, side)) / 1e9
        share = count_squared_macs(model, side) / 1e9 / gmacs
        costs.append(Cost(side, gmacs, share, {name: [] for name in programs}, running))
    loaded = {
        (cost.side, name): load_program(path, methods[cost.side]) for cost in costs for name, path in programs.items()
    }
    for turn in range(rounds + 1):
        for cost in costs:
            image = draw_image(cost.side)
            for name in programs:
                sample = time_turn(loaded[cost.side, name][1], image)
                # The first turn warms up.
                cost.samples[name] += [sample] if turn else []
    return costs


def list_methods(sides: list[int]) -> list[str]:
    """Return the method of each size."""
    first, *others = ((side, side) for side in sides)
    return [one.method for one in list_sizes(first, tuple(others), DEFAULT_METHOD)] or [DEFAULT_METHOD]


def count_squared_macs(model: Any, side: int) -> float:
    """Return the multiply-adds of the two products of attention in all blocks."""
    config, total = model.config, 0.0
    for stage, (kind, depth) in enumerate(zip(config.block_types, config.depths, strict=True)):
        tokens = count_tokens(side, 16 << stage)
        width = config.qk_dims[stage] + config.partial_dims[stage]
        total += depth * tokens**2 * width if kind == "s" else 0
    return total


def count_tokens(side: int, stride: int) -> int:
    """Return the positions of a square image's map; sides are rounded up."""
    positions = -(-side // stride)
    return positions**2


def draw_image(side: int) -> torch.Tensor:
    return 255 * torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def time_turn(method: Any, image: torch.Tensor) -> float:
    """Return the milliseconds of processor time of an inference: the median of those that fit into a turn."""
    samples, begun = list[float](), time.process_time()
    while not samples or time.process_time() - begun < TURN_SECONDS:
        started = time.process_time()
        method.execute([image])
        samples.append(1000 * (time.process_time() - started))
    return median(samples)


def measure_memory(path: Path, method: str, side: int) -> float:
    """Measure in a process of its own how much memory a loaded method has after an inference."""
    # A fork would reuse what this process has freed.
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_memory, args=(sender, path, method, side))
    process.start()
    sender.close()
    grown: float = receiver.recv()
    process.join()
    return grown / MEGABYTE


def _send_memory(sender: Any, path: Path, method: str, side: int) -> None:
    import executorch.runtime  # noqa: F401
    from executorch.extension.pybindings import _portable_lib

    torch.set_num_threads(1)
    _portable_lib._unsafe_reset_threadpool(1)
    # Memory of its own: not the pages of libraries and of the program's file, which processes share.
    image, before = draw_image(side), read_status("RssAnon")
    program, loaded = load_program(path, method)
    loaded.execute([image])
    sender.send(read_status("RssAnon") - before)
    sender.close()
    del program
    os._exit(0)


def read_status(field: str) -> int:
    """Return a number of bytes of this process, as Linux states it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def print_table(costs: list[Cost]) -> None:
    """Print a row for each size; ratios are to the first size, in the same rounds."""
    precisions = list(costs[0].samples)
    ratios = " | ".join(f"{name}, ms | times the first" for name in precisions)
    print(f"| size | tokens | GMACs | of it attention | {ratios} | MB to run, {' / '.join(precisions)} |")
    print("|---:" * (5 + 2 * len(precisions)) + "|")
    for cost in costs:
        print(f"| {cost.side} | {cost.tokens} | {cost.gmacs:.2f} | {cost.squared_share:.1%} | ", end="")
        print(" | ".join(format_latency(cost, costs[0], name) for name in precisions), end=" | ")
        print(" / ".join(f"{cost.running_mb[name]:.0f}" for name in precisions) + " |", flush=True)


def format_latency(cost: Cost, first: Cost, precision: Precision) -> str:
    ratio = compute_speed_ratio(cost.samples[precision], first.samples[precision])
    interval = "" if cost is first else f"{ratio.value:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"
    return f"{median(cost.samples[precision]):.2f} | {interval}"


def draw_chart(costs: dict[str, list[Cost]]) -> str:
    """Draw milliseconds against tokens on two logarithmic axes, as a file of its own."""
    every = [cost for one in costs.values() for cost in one]
    times = [median(samples) for cost in every for samples in cost.samples.values()]
    x = AxisScale(min(one.tokens for one in every), max(one.tokens for one in every), log=True)
    y = AxisScale(min(times) * 0.8, max(times) * 1.25, log=True)

    def place(tokens: float, milliseconds: float) -> tuple[float, float]:
        wide, high = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
        return MARGIN + x.share(tokens) * wide, HEIGHT - MARGIN - y.share(milliseconds) * high

    def draw() -> Iterator[str]:
        yield create_element("rect", width=WIDTH, height=HEIGHT, fill="#fff")
        yield draw_text(MARGIN, 24, "Milliseconds of processor time per image against tokens, one thread", "start")
        for tick in y.ticks(8):
            (left, at), (right, _) = place(x.low, tick), place(x.high, tick)
            yield create_element("line", x1=left, x2=right, y1=f"{at:.1f}", y2=f"{at:.1f}", stroke="#ddd")
            yield draw_text(left - 8, at + 4, f"{tick:g}", "end")
        for cost in next(iter(costs.values())):
            yield draw_text(place(cost.tokens, y.low)[0], HEIGHT - MARGIN + 20, str(cost.tokens), "middle")
            yield draw_text(place(cost.tokens, y.low)[0], HEIGHT - MARGIN + 36, f"{cost.side} px", "middle")
        names = list[tuple[float, float, str]]()
        for color, (variant, rows) in zip(COLORS, costs.items(), strict=False):
            for precision in rows[0].samples:
                points = [place(cost.tokens, median(cost.samples[precision])) for cost in rows]
                dash = "5 4" if precision == "int8" else None
                path = "M" + " L".join(f"{a:.1f} {b:.1f}" for a, b in points)
                yield create_element("path", d=path, stroke=color, fill="none", stroke_width=2, stroke_dasharray=dash)
                name = f"{variant.removeprefix('shvit_').upper()} {precision}"
                names.append((points[-1][1] + 4, points[-1][0] + 4, name))
        # From the top down, no name closer to the one above it than a line of text.
        lowest = 0.0
        for at, left, name in sorted(names):
            lowest = max(at, lowest + LINE)
            yield draw_text(left, lowest, name, "start")

    return str(
        create_element(
            "svg",
            *draw(),
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {WIDTH + 8} {HEIGHT}",
            role="img",
            aria_label="Milliseconds per image against tokens",
        )
    )


def draw_text(x: float, y: float, text: str, anchor: str) -> str:
    style = "font: 12px system-ui, sans-serif"
    return create_element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, style=style, fill="#222")


if __name__ == "__main__":
    typer.run(main)
