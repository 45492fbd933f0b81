"""Run Core ML packages and ExecuTorch programs that contain one: with Core ML on macOS, elsewhere with the executor."""

import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.errors import BadArtifact
from shvit_mobile.quiet import import_library
from shvit_mobile.runtimes.mil.program import CoreMLProgram
from shvit_mobile.runtimes.mil.workers import WorkerPool
from shvit_mobile.runtimes.runner import (
    allocate_outputs,
    build_mismatch_error,
    check_outputs,
    check_size,
    prepare_input,
    select_logits,
)
from shvit_mobile.targets.opened_package import OpenedPackage

CORE_ML_AVAILABLE = sys.platform == "darwin"
REFERENCE_ENGINE = "shvit-mobile reference executor"
PredictFunction = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class CoreMLRunner:
    """A loaded Core ML artifact; a `Runner` whose execution is "native" on macOS and "reference" elsewhere.

    Images of another size that the manifest lists run in the function of that size, which is loaded the first time.
    """

    execution: Execution
    engine: str

    def __init__(self, artifact: Artifact) -> None:
        """Load the package, or that of a program's delegate.

        Raises:
            BadArtifact: If it is damaged, or its inputs or outputs differ from the manifest.
            UnsupportedOperator: If the reference executor does not implement one of its operators.
            ToolMissing: If coremltools is not installed, or for a program executorch.
        """
        self._artifact = artifact
        self._package = OpenedPackage(artifact.path)
        if CORE_ML_AVAILABLE:
            self.execution, self.engine = "native", f"Core ML on macOS {platform.mac_ver()[0]}"
        else:
            self.execution, self.engine = "reference", REFERENCE_ENGINE
        self._predictors = dict[tuple[int, int], PredictFunction]()
        self._get_predictor(artifact.manifest)

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the logits of images; see `Runner.run`."""
        return select_logits(self._artifact, self.run_outputs(pixels))

    def run_outputs(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Compute the outputs of images; Core ML predicts one image at a time."""
        check_size(self._artifact, pixels)
        manifest = self._artifact.manifest.select_size((pixels.shape[1], pixels.shape[2]))
        if len(pixels) == 0:
            return allocate_outputs(manifest, 0)
        computed = self._get_predictor(manifest)({manifest.input.name: prepare_images(manifest, pixels)})
        if missing := next((name for name in manifest.output.names if name not in computed), None):
            raise build_mismatch_error(f"{self._artifact.path} gives {', '.join(computed)}, no '{missing}'.")
        # Core ML itself returns a list of arrays, each with a batch of one.
        outputs = {
            name: np.asarray(computed[name], np.float32).reshape(len(pixels), *np.shape(computed[name])[-len(shape) :])
            for name, shape in manifest.output_shapes.items()
        }
        check_outputs(self._artifact, outputs, len(pixels))
        return outputs

    def _get_predictor(self, manifest: Manifest) -> PredictFunction:
        """Return what predicts images of a manifest's size."""
        size, function = manifest.preprocessing.size, get_function(manifest)
        if size not in self._predictors:
            self._predictors[size] = (
                make_native_predictor(self._package.path, function)
                if CORE_ML_AVAILABLE
                else _make_reference_predictor(self._artifact, self._package.path, function)
            )
        return self._predictors[size]


def get_function(manifest: Manifest) -> str | None:
    """Return the function of a package for images of `preprocessing.size`; None if it has one function for one size."""
    return manifest.method if manifest.sizes else None


def prepare_images(manifest: Manifest, pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """Convert pixels, shape (images, height, width, 3), to the input of a package: images or a tensor.

    Images are in RGB order; Core ML changes the order to that of the model.
    """
    if manifest.input.kind != "image":
        return prepare_input(manifest, pixels)
    return pixels if manifest.preprocessing.channel_order == "rgb" else pixels[..., ::-1]


def _make_reference_predictor(artifact: Artifact, package: Path, function: str | None) -> PredictFunction:
    program = CoreMLProgram(package, function=function)
    if artifact.manifest.input.name not in program.inputs:
        raise build_mismatch_error(
            f"{artifact.path} takes {', '.join(program.inputs)}, no '{artifact.manifest.input.name}'."
        )
    return program if program.not_batchable_reason is None else WorkerPool(program)


def make_native_predictor(package: Path, function: str | None = None) -> PredictFunction:
    """Return Core ML's own prediction of a batch, one image at a time, in a function (default: the package's own).

    Its one input has a first axis of images: uint8 arrays (images, height, width, 3) become Pillow images.
    """
    model = load_mlmodel(package, function)

    def predict(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        ((name, images),) = inputs.items()
        single = [{name: Image.fromarray(image) if image.dtype == np.uint8 else image[None]} for image in images]
        try:
            outputs = [model.predict(values) for values in single]
        except Exception as reason:  # Core ML raises RuntimeError and plain Exception
            raise BadArtifact(f"Core ML cannot run {package}: {reason}") from reason
        return {name: [output[name] for output in outputs] for name in outputs[0]}

    return predict


def load_mlmodel(package: Path, function: str | None = None) -> Any:
    models = import_library("coremltools.models", "It runs Core ML on macOS.")
    try:
        return models.MLModel(str(package), function_name=function)
    except Exception as reason:
        raise BadArtifact(f"Core ML cannot load {package}: {reason}", hint="Export it again.") from reason
