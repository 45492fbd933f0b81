"""The ExecuTorch target: a deploy form to a .pte program for XNNPACK, ExecuTorch's backend for phone CPUs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from shvit_mobile.deploy.fuse import DeployForm
from shvit_mobile.deploy.xnnpack import for_xnnpack
from shvit_mobile.errors import BadRecipe, ToolMissing, WrongConfig
from shvit_mobile.quantize.recipe import Precision, Recipe
from shvit_mobile.quiet import quiet
from shvit_mobile.targets.built import Built
from shvit_mobile.targets.manifest import InputContract, OutputContract
from shvit_mobile.targets.pte import inspect_program

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8", "int8-dynamic")
BACKENDS = ("xnnpack",)


@dataclass(frozen=True)
class ExecuTorchOptions:
    """How to lower.

    Attributes:
        backend: what runs the operators it can take; ExecuTorch's own portable kernels run the rest.

    Raises:
        WrongConfig: `backend` is not one of `BACKENDS`.
    """

    backend: Literal["xnnpack"] = "xnnpack"

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise WrongConfig(f"The backend is '{self.backend}'.", why=f"It is one of {', '.join(BACKENDS)}.")


def build(deployed: DeployForm, recipe: Recipe, path: Path, options: ExecuTorchOptions) -> Built:
    """Lowers a deploy form and writes the program to `path`.

    The program takes one float32 image, shape (1, 3, height, width), contiguous, with the values that `deployed.takes`
    says, and gives float32 logits, shape (1, classes). Batch and size are fixed: XNNPACK splits a graph with a dynamic
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
    shape = (1, 3, *deployed.trained.preprocessing.size)
    lower(graph(deployed, recipe), shape, path)
    found = inspect_program(path)
    return Built(
        input=InputContract(name="image", kind="tensor", values=deployed.takes, shape=shape, dtype="float32"),
        output=OutputContract(logits="logits"),
        inventory=found.inventory,
        versions={name: version(name) for name in ("executorch", "torch", "torchao")},
        options={"backend": options.backend},
        delegation=found.delegation,
    )


def graph(deployed: DeployForm, recipe: Recipe) -> nn.Module:
    """What is exported: the form for XNNPACK, in float32, or its quantized graph."""
    module = for_xnnpack(deployed)
    if recipe.precision == "fp32":
        return module
    from shvit_mobile.quantize.pt2e import quantized

    return quantized(deployed, recipe, module)


def lower(module: nn.Module, shape: tuple[int, int, int, int], path: Path) -> None:
    with quiet():
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
