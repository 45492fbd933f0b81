"""Measure what each choice in the int8 program for XNNPACK costs or saves, for docs/benchmarks.md.

    python tools/ablate_xnnpack.py --variant shvit_s1 --out runs/ablation
    python tools/ablate_xnnpack.py --variant shvit_s1 --out runs/ablation --cpu dotprod

Each contestant is the exported program, its head in float, with one change. Most changes keep the logits. Those called
"without" do not; they show the largest possible gain. Weights are random. `--cpu` counts instructions on an emulated
phone CPU instead of measuring the time; that needs `shvit-mobile doctor --install arm64`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import typer
from benchmark_variants import CALIBRATION_COUNT, create_random_checkpoint
from torch import Tensor, nn

from shvit_mobile.bench.contestant import BenchmarkSubject
from shvit_mobile.bench.interleave import TimedRun, run_interleaved
from shvit_mobile.bench.macs import count_macs
from shvit_mobile.bench.statistics import compute_speed_ratio
from shvit_mobile.contracts.device_report import BenchmarkSettings
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.demo import CALIBRATION_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.head_equalization import equalize_head
from shvit_mobile.deploy.xnnpack_form import ChannelsLast, rewrite_graph, rewrite_modules
from shvit_mobile.families.shvit import PatchMerging, SHViT
from shvit_mobile.families.shvit_family import XnnpackAttention
from shvit_mobile.images.image_set import open_images
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.pt2e_graph import build_quantized_graph
from shvit_mobile.runtimes.arm64.counter import open_counter
from shvit_mobile.runtimes.arm64.counting import count_instructions
from shvit_mobile.runtimes.arm64.cpus import CPU, find_cpu
from shvit_mobile.runtimes.arm64.sysroot import open_sysroot
from shvit_mobile.targets.executorch import lower_to_program
from shvit_mobile.targets.xnnpack_stem import convert_stem_to_pixel_pairs


class AttentionWithoutProduct(XnnpackAttention):
    """Attention that returns its values without the product."""

    def forward(self, x: Tensor) -> Tensor:
        attending, passing = x[:, : self.partial_dim], x[:, self.partial_dim :]
        value = self.qkv(self.pre_norm(attending))[:, 2 * self.qk_dim :]
        return self.proj(torch.cat([value, passing], dim=1))


def remove_product(model: SHViT) -> None:
    for module in model.modules():
        if isinstance(module, XnnpackAttention):
            module.__class__ = AttentionWithoutProduct


def remove_norm(model: SHViT) -> None:
    for module in model.modules():
        if isinstance(module, XnnpackAttention):
            module.pre_norm = nn.Identity()


def remove_gates(model: SHViT) -> None:
    for module in model.modules():
        if isinstance(module, PatchMerging):
            module.se = nn.Identity()


def permute_in_int8(model: SHViT) -> None:
    for name, layer in model.patch_embed.named_children():
        if isinstance(layer, ChannelsLast):
            setattr(model.patch_embed, name, nn.Identity())


def quantize_head(model: SHViT) -> None:
    model.head = equalize_head(model.head)


def keep_unchanged(model: SHViT) -> None:
    pass


@dataclass(frozen=True)
class Change:
    """What is different from the exported program.

    Attributes:
        modify: Changes the form for XNNPACK.
        kept: What the names of layers contain that stay in float; empty if none do.
        pairs: Whether the first convolution takes pairs of pixels, where the form allows it.
        simplified: Whether what XNNPACK's graph computes for nothing is removed.
    """

    modify: Callable[[SHViT], None] = keep_unchanged
    kept: str = ""
    pairs: bool = True
    simplified: bool = True


AS_EXPORTED = "as exported"
CHANGES = {
    AS_EXPORTED: Change(),
    "first convolution on single pixels": Change(pairs=False),
    "on single pixels, converted in int8": Change(permute_in_int8, pairs=False),
    "graph as ExecuTorch writes it": Change(simplified=False),
    "head in int8": Change(quantize_head),
    "qkv in float": Change(kept=".qkv"),
    "squeeze-excite in float": Change(kept=".se."),
    "without squeeze-excite": Change(remove_gates, ".se."),
    "without attention's norm": Change(remove_norm),
    "without attention's product": Change(remove_product),
}


def main(
    out: Annotated[Path, typer.Option(help="The folder for the checkpoint and the programs.")],
    variant: Annotated[str, typer.Option(help="The variant to measure.")] = "shvit_s1",
    rounds: Annotated[int, typer.Option(help="The number of turns of each contestant.")] = 31,
    changes: Annotated[
        list[str] | None, typer.Option("--change", help="Compare only this change with what is exported; repeatable.")
    ] = None,
    cpu: Annotated[
        str | None, typer.Option(help="Count instructions on this emulated CPU instead: neon, dotprod or i8mm.")
    ] = None,
) -> None:
    names = [name for name in CHANGES if not changes or name in (AS_EXPORTED, *changes)]
    if unknown := set(changes or ()) - set(names):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}. There are: {', '.join(CHANGES)}.")
    trained = create_random_checkpoint(variant, out / variant)
    deployed = to_deploy_form(trained)
    recipe, _ = calibrate_recipe(deployed, open_images(CALIBRATION_IMAGES), count=CALIBRATION_COUNT)
    shape = (1, 3, *trained.preprocessing.size)
    macs = count_macs(deployed.module, shape)
    subjects = [
        BenchmarkSubject(
            name, "executorch", "int8", str(lower_program(name, deployed, recipe, out / variant)), shape, macs=macs
        )
        for name in names
    ]
    if cpu is not None:
        print_instructions(variant, subjects, find_cpu(cpu))
        return
    settings = BenchmarkSettings(threads=1, batch=1, rounds=rounds, warm_up=5, iterations=20, cpus=())
    first, *others = run_interleaved(subjects, settings).runs
    print(f"| {variant} | ms | times as long |\n|---|---:|---:|")
    for run in (first, *others):
        print(f"| {run.subject.name} | {median(run.samples):.3f} | {format_ratio(run, first)} |")


def print_instructions(variant: str, subjects: list[BenchmarkSubject], cpu: CPU) -> None:
    counter, sysroot = open_counter(), open_sysroot()
    print(f"| {variant} | million instructions on `{cpu.name}` | times as many |\n|---|---:|---:|")
    first = 0
    for subject in subjects:
        found = count_instructions(counter, sysroot, cpu, Path(subject.source), subject.shape)
        total = sum(found.kinds.values())
        print(f"| {subject.name} | {total / 1e6:.2f} | {f'{total / first:.3f}' if first else ''} |", flush=True)
        first = first or total


def lower_program(name: str, deployed: DeployForm, recipe: Recipe, folder: Path) -> Path:
    """Return the program with one change; build it unless it exists."""
    path = folder / f"{name.replace(' ', '-')}.pte"
    if path.exists():
        return path
    change, shape = CHANGES[name], (1, 3, *deployed.trained.preprocessing.size)
    model = rewrite_modules(deployed)
    change.modify(model)
    float_layers = tuple(layer for layer in recipe.ranges if change.kept and change.kept in layer)
    recipe = recipe.model_copy(update={"float_layers": float_layers})
    if change.pairs:
        model, recipe = convert_stem_to_pixel_pairs(model, deployed, recipe)
    rewrite = partial(rewrite_graph, family=deployed.trained.family, shape=shape)
    graph = build_quantized_graph(deployed, recipe, model, shape=shape, rewrite=rewrite)
    lower_to_program(graph, shape, path, simplified=change.simplified)
    return path


def format_ratio(run: TimedRun, first: TimedRun) -> str:
    if run is first:
        return ""
    longer = compute_speed_ratio(run.round_medians, first.round_medians)
    return f"{longer.value:.3f} ({longer.low:.3f}–{longer.high:.3f})"


if __name__ == "__main__":
    typer.run(main)
