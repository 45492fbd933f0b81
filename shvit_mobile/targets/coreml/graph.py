"""The torch program that is converted: the deploy form, or the quantized graph, with probabilities where wanted."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from shvit_mobile.deploy.fuse import DeployForm
from shvit_mobile.deploy.half import for_half
from shvit_mobile.quantize.recipe import Recipe


def exported(deployed: DeployForm, recipe: Recipe, *, classifier: bool) -> torch.export.ExportedProgram:
    """The program on the CPU in float32 at a batch of one: (1, channels, height, width) in, logits (1, classes) out.

    Args:
        deployed: the model.
        recipe: under "int8" the program is the quantized graph.
        classifier: a second output, the probabilities (1, classes).

    Raises:
        BadRecipe: the recipe is int8 and does not fit the model.
    """
    module = lowered(deployed, recipe)
    example = torch.zeros(1, deployed.module.config.in_channels, *deployed.trained.preprocessing.size)
    with torch.no_grad():
        program = torch.export.export(WithProbabilities(module) if classifier else module, (example,))
        # Without decompositions coremltools meets the training dialect and refuses it.
        decomposed: torch.export.ExportedProgram = program.run_decompositions({})
        return decomposed


def lowered(deployed: DeployForm, recipe: Recipe) -> nn.Module:
    if recipe.precision == "int8":
        from shvit_mobile.quantize.pt2e import quantized  # imports torchao, which only int8 needs

        return quantized(deployed, recipe, for_half(deployed.module))
    module = deployed.module if recipe.precision == "fp32" else for_half(deployed.module)
    return deepcopy(module).to("cpu", torch.float32)


class WithProbabilities(nn.Module):
    """Logits and their softmax."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.module(images)
        return logits, logits.softmax(-1)
