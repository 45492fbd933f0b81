"""Writes an ExecuTorch program that calls Core ML with this project's own package.

ExecuTorch's Core ML backend would convert and quantize the graph itself. Here the package is the Core ML target's, with
its form of attention and the recipe's int8.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.exporting import export_model
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.quiet import import_library, silence_libraries
from shvit_mobile.targets import coreml
from shvit_mobile.targets.build_result import BuildResult
from shvit_mobile.targets.coreml_payload import build_payload
from shvit_mobile.targets.pte import COREML_BACKEND

PRECISIONS = coreml.PRECISIONS
# ExecuTorch passes a float32 tensor, and takes a float32 tensor.
_OPTIONS = coreml.CoreMLOptions(input="tensor", classifier=False)


def write_program(deployed: DeployForm, recipe: Recipe, path: Path) -> BuildResult:
    """Write a program whose one instruction calls the delegate; the same arguments give the same bytes.

    Returns:
        What the Core ML target returned for the package.

    Raises:
        ShvitError: As the target's `build`.
        ToolMissing: If executorch or coremltools is not installed.
    """
    exir = import_library("executorch.exir", "It writes .pte programs.")
    with TemporaryDirectory() as folder:
        package = Path(folder, "model.mlpackage")
        built = coreml.build(deployed, recipe, package, _OPTIONS)
        payload = build_payload(package, inputs=[built.input.name], outputs=built.output.names)
    with silence_libraries(), torch.no_grad():
        from executorch.exir.backend.compile_spec_schema import CompileSpec
        from executorch.exir.lowered_backend_module import LoweredBackendModule

        signature = export_model(_Signature(deployed), torch.zeros(built.input.shape))
        # The only specification that the backend reads on the phone, where the app may override it.
        specs = [CompileSpec("compute_units", b"all")]
        lowered = LoweredBackendModule(exir.to_edge(signature).exported_program(), COREML_BACKEND, payload, specs)
        path.write_bytes(lowered.buffer(extract_delegate_segments=True))
    return built


class _Signature(nn.Module):
    """The input and the outputs of a model; the delegate replaces what is between them."""

    def __init__(self, deployed: DeployForm) -> None:
        super().__init__()
        maps = deployed.output.maps
        self.shapes: list[tuple[int, ...]] = [one.shape for one in maps] if maps else [(deployed.trained.classes,)]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(images.new_zeros(1, *shape) for shape in self.shapes)
