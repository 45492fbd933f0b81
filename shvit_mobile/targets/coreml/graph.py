"""Export the torch program to convert: the form for Core ML, with probabilities for a classifier."""

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.deploy.coreml_form import rewrite_for_coreml
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.fp16_form import rewrite_for_fp16
from shvit_mobile.targets.coreml.options import CoreMLOptions


def export_torch_program(
    deployed: DeployForm, precision: Precision, options: CoreMLOptions
) -> torch.export.ExportedProgram:
    """Export a program on the CPU in float32: (1, channels, height, width) in, logits (1, classes) out.

    Args:
        deployed: The model.
        precision: All but "fp32" compute in fp16, or in fp16 between int8 layers.
        options: The layout; `classifier` adds a second output, the probabilities (1, classes).
    """
    module = rewrite_for_coreml(deployed, options.layout)
    if precision != "fp32":
        module = rewrite_for_fp16(module)
    example = torch.zeros(1, deployed.module.config.in_channels, *deployed.trained.preprocessing.size)
    with torch.no_grad():
        program = torch.export.export(_WithProbabilities(module) if options.classifier else module, (example,))
        # Without decompositions the program has the training dialect, which coremltools rejects.
        decomposed: torch.export.ExportedProgram = program.run_decompositions({})
        return decomposed


class _WithProbabilities(nn.Module):
    """Logits and their softmax."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.module(images)
        return logits, logits.softmax(-1)
