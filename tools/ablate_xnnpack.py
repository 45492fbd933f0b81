"""Measure what each choice in the int8 program for XNNPACK costs or saves, for docs/benchmarks.md.

    python tools/ablate_xnnpack.py --variant shvit_s1 --out runs/ablation

Each contestant is the exported program with one change. Most changes keep the logits. Those called "without" do not;
they show the largest possible gain. Weights are random.
"""

from __future__ import annotations

from collections.abc import Callable
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
from shvit_mobile.deploy.xnnpack_form import ChannelsLast, rewrite_modules
from shvit_mobile.families.shvit import PatchMerging, SHViT
from shvit_mobile.families.shvit_family import XnnpackAttention
from shvit_mobile.images.image_set import open_images
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quantize.pt2e_graph import build_quantized_graph
from shvit_mobile.targets.executorch import lower_to_program


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


# The change to the form for XNNPACK, and the layers that the recipe keeps in float.
CHANGES: dict[str, tuple[Callable[[SHViT], None], str]] = {
    "as exported": (keep_unchanged, ""),
    "image converted in int8": (permute_in_int8, ""),
    "head in int8": (quantize_head, ""),
    "qkv in float": (keep_unchanged, ".qkv"),
    "squeeze-excite in float": (keep_unchanged, ".se."),
    "without squeeze-excite": (remove_gates, ".se."),
    "without attention's norm": (remove_norm, ""),
    "without attention's product": (remove_product, ""),
}


def main(
    out: Annotated[Path, typer.Option(help="The folder for the checkpoint and the programs.")],
    variant: Annotated[str, typer.Option(help="The variant to measure.")] = "shvit_s1",
    rounds: Annotated[int, typer.Option(help="The number of turns of each contestant.")] = 31,
) -> None:
    trained = create_random_checkpoint(variant, out / variant)
    deployed = to_deploy_form(trained)
    recipe, _ = calibrate_recipe(deployed, open_images(CALIBRATION_IMAGES), count=CALIBRATION_COUNT)
    shape = (1, 3, *trained.preprocessing.size)
    macs = count_macs(deployed.module, shape)
    subjects = [
        BenchmarkSubject(
            name, "executorch", "int8", str(lower_program(name, deployed, recipe, out / variant)), shape, macs=macs
        )
        for name in CHANGES
    ]
    settings = BenchmarkSettings(threads=1, batch=1, rounds=rounds, warm_up=5, iterations=20, cpus=())
    first, *others = run_interleaved(subjects, settings).runs
    print(f"| {variant} | ms | times as long |\n|---|---:|---:|")
    for run in (first, *others):
        print(f"| {run.subject.name} | {median(run.samples):.3f} | {format_ratio(run, first)} |")


def lower_program(name: str, deployed: DeployForm, recipe: Recipe, folder: Path) -> Path:
    """Return the program with one change; build it unless it exists."""
    path = folder / f"{name.replace(' ', '-')}.pte"
    if path.exists():
        return path
    change, kept = CHANGES[name]
    model = rewrite_modules(deployed)
    change(model)
    float_layers = tuple(layer for layer in recipe.ranges if kept and kept in layer)
    graph = build_quantized_graph(deployed, recipe.model_copy(update={"float_layers": float_layers}), model)
    lower_to_program(graph, (1, 3, *deployed.trained.preprocessing.size), path)
    return path


def format_ratio(run: TimedRun, first: TimedRun) -> str:
    if run is first:
        return ""
    longer = compute_speed_ratio(run.round_medians, first.round_medians)
    return f"{longer.value:.3f} ({longer.low:.3f}–{longer.high:.3f})"


if __name__ == "__main__":
    typer.run(main)
