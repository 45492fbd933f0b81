"""The ExecuTorch target: a deploy form to a .pte program for XNNPACK, ExecuTorch's backend for phone CPUs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from shvit_mobile.contracts.input_layout import BLOCK_SIZE, count_blocks
from shvit_mobile.contracts.manifest import InputContract, OutputContract
from shvit_mobile.contracts.recipe import INT8_ARITHMETIC, Precision, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.head_equalization import equalize_head
from shvit_mobile.deploy.space_to_depth_stem import compute_border_values, convert_stem_to_space_to_depth
from shvit_mobile.deploy.xnnpack_form import rewrite_for_xnnpack
from shvit_mobile.errors import BadRecipe, InvalidConfig, ToolMissing
from shvit_mobile.families.shvit import SHViT
from shvit_mobile.quantize.layers import FIRST_LAYERS
from shvit_mobile.quiet import silence_libraries
from shvit_mobile.targets.build_result import BuildResult
from shvit_mobile.targets.pte import inspect_program
from shvit_mobile.targets.target_options import TargetOptions

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8", "int8-dynamic")
BACKENDS = ("xnnpack",)
STEMS = ("plain", "space-to-depth")
HEADS = ("auto", "float", "int8-dynamic")
# From this share of the weights on, a head in float shows in the file and in the latency. A thousand classes take 3 to
# 5% of a variant's.
LARGE_HEAD_SHARE = 0.02


@dataclass(frozen=True)
class ExecuTorchOptions(TargetOptions):
    """How to lower.

    Attributes:
        backend: what runs the operators it can take; ExecuTorch's own portable kernels run the rest.
        stem: "space-to-depth" for an input that the host hands over in blocks, which saves the first convolution
            its stride and the graph its padding.
        head: under int8, "int8-dynamic" for a head with int8 weights, equalised, that takes the range of its input
            from each image; "float" for one that is left as it is; "auto" for int8 where the head is large.

    Raises:
        InvalidConfig: `backend` is not one of `BACKENDS`, `stem` not one of `STEMS`, or `head` not one of `HEADS`.
    """

    backend: Literal["xnnpack"] = "xnnpack"
    stem: Literal["plain", "space-to-depth"] = "plain"
    head: Literal["auto", "float", "int8-dynamic"] = "auto"

    def __post_init__(self) -> None:
        for name, given, known in (
            ("backend", self.backend, BACKENDS),
            ("stem", self.stem, STEMS),
            ("head", self.head, HEADS),
        ):
            if given not in known:
                raise InvalidConfig(f"The {name} is '{given}'.", why=f"It is one of {', '.join(known)}.")

    @property
    def suffix(self) -> str:
        stem = {"plain": "", "space-to-depth": "-blocks"}[self.stem]
        return stem + {"auto": "", "float": "-head32", "int8-dynamic": "-head8"}[self.head]


def build(deployed: DeployForm, recipe: Recipe, path: Path, options: ExecuTorchOptions) -> BuildResult:
    """Lowers a deploy form and writes the program to `path`.

    The program takes one float32 image, contiguous, as `build_input_contract` says, and gives float32 logits, shape
    (1, classes). Batch and size are fixed: XNNPACK splits a graph with a dynamic
    batch into more pieces, and some of them then fail on the phone. The same inputs give the same bytes.

    Raises:
        BadRecipe: XNNPACK has no such precision, or the recipe is another model's.
        ToolMissing: executorch is not installed.
    """
    if recipe.precision not in PRECISIONS:
        raise BadRecipe(
            f"The target executorch has no {recipe.precision}.",
            why=f"Its precisions: {', '.join(PRECISIONS)}.",
            hint="Try: shvit-mobile export --target executorch --quantize int8",
        )
    contract = build_input_contract(deployed, options)
    lower_to_program(build_graph(deployed, recipe, options), contract.shape, path)
    found = inspect_program(path)
    return BuildResult(
        input=contract,
        output=OutputContract(logits="logits"),
        inventory=found.inventory,
        versions={name: version(name) for name in ("executorch", "torch", "torchao")},
        options=asdict(options),
        delegation=found.delegation,
    )


def build_input_contract(deployed: DeployForm, options: ExecuTorchOptions) -> InputContract:
    height, width = deployed.trained.preprocessing.size
    plain = InputContract(
        name="image", kind="tensor", values=deployed.input_domain, shape=(1, 3, height, width), dtype="float32"
    )
    if options.stem == "plain":
        return plain
    return plain.model_copy(
        update={
            "shape": (1, 3 * BLOCK_SIZE * BLOCK_SIZE, count_blocks(height), count_blocks(width)),
            "layout": options.stem,
            "border": compute_border_values(deployed.module),
        }
    )


def build_graph(deployed: DeployForm, recipe: Recipe, options: ExecuTorchOptions) -> nn.Module:
    """What is exported: the form for XNNPACK, in float32, or its quantized graph.

    Raises:
        BadRecipe: an int8 head is wanted without int8.
    """
    module = rewrite_for_xnnpack(deployed)
    if options.stem == "space-to-depth":
        module = convert_stem_to_space_to_depth(module, deployed)
        recipe = set_pixel_input_range(recipe, deployed)
    if recipe.precision not in INT8_ARITHMETIC:
        if options.head == "int8-dynamic":
            raise BadRecipe(
                f"An int8 head was asked for, but the precision is {recipe.precision}.",
                hint="Export int8 alone with --head int8-dynamic, and the rest without it.",
            )
        return module
    from shvit_mobile.quantize.pt2e_graph import build_quantized_graph

    if options.head == "int8-dynamic" or (options.head == "auto" and has_large_head(deployed.module)):
        module.head = equalize_head(module.head)  # type: ignore[arg-type]
    return build_quantized_graph(deployed, recipe, module, shape=build_input_contract(deployed, options).shape)


def has_large_head(module: SHViT) -> bool:
    """Whether a good part of the weights are the head's."""
    head, whole = (sum(p.numel() for p in part.parameters()) for part in (module.head, module))
    return head >= LARGE_HEAD_SHARE * whole


def set_pixel_input_range(recipe: Recipe, deployed: DeployForm) -> Recipe:
    """The recipe for a stem on blocks, which sees pixels before their mean is subtracted: 0 to 255, each exact."""
    first = FIRST_LAYERS[0]
    if deployed.input_domain == "normalised" or first not in recipe.ranges:
        return recipe
    seen = recipe.ranges[first].model_copy(update={"input": (0.0, 255.0)})
    return recipe.model_copy(update={"ranges": {**recipe.ranges, first: seen}})


def lower_to_program(module: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    with silence_libraries():
        try:
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower
        except ImportError:
            raise ToolMissing(
                "executorch is not installed.", why="It makes .pte programs.", hint="pip install executorch==1.4.1"
            ) from None
        with torch.no_grad():
            exported = torch.export.export(module, (torch.zeros(shape),))
            edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
            program = edge.to_executorch()
    with path.open("wb") as file:
        program.write_to_file(file)
