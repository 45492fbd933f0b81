"""Runs Core ML artifacts: with Core ML itself on macOS, with the reference executor elsewhere."""

from __future__ import annotations

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
from shvit_mobile.errors import BadArtifact, ToolMissing
from shvit_mobile.quiet import silence_libraries
from shvit_mobile.runtimes.mil.program import CoreMLProgram
from shvit_mobile.runtimes.mil.workers import WorkerPool
from shvit_mobile.runtimes.runner import check_size, prepare_input

CORE_ML_AVAILABLE = sys.platform == "darwin"
PredictFunction = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class CoreMLRunner:
    """A loaded Core ML artifact; a `Runner`.

    Attributes:
        how: "native" on macOS, "reference" elsewhere.
        engine: Core ML with the version of macOS, or the reference executor.
    """

    execution: Execution
    engine: str

    def __init__(self, artifact: Artifact) -> None:
        """Loads the package.

        Raises:
            BadArtifact: it is damaged, or has other inputs or outputs than its manifest says.
            UnsupportedOperator: off macOS, it has operators that the reference executor does not know.
            ToolMissing: coremltools is not installed.
        """
        self._artifact = artifact
        if CORE_ML_AVAILABLE:
            self.execution, self.engine = "native", f"Core ML on macOS {platform.mac_ver()[0]}"
            self._predict = make_native_predictor(artifact.path)
        else:
            self.execution, self.engine = "reference", "shvit-mobile reference executor"
            self._predict = make_reference_predictor(artifact)

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The logits of some images; Core ML itself takes them one at a time, for packages are made for one.

        Args:
            pixels: as `Preprocessing.pixels` gives them: uint8, shape (images, height, width, 3).

        Returns:
            float32, shape (images, classes).

        Raises:
            ShapeMismatch: the images are not of the size the artifact takes.
            BadArtifact: the program fails, or its logits are missing or not one a class.
        """
        manifest = self._artifact.manifest
        check_size(self._artifact, pixels)
        if len(pixels) == 0:
            return np.empty((0, manifest.model.classes), np.float32)
        outputs = self._predict({manifest.input.name: prepare_images(manifest, pixels)})
        if manifest.output.logits not in outputs:
            raise BadArtifact(
                f"{self._artifact.path} gives {', '.join(outputs)}, no '{manifest.output.logits}'.",
                why="Its manifest says that the logits are there.",
                hint="Export it again.",
            )
        logits = np.asarray(outputs[manifest.output.logits], np.float32).reshape(len(pixels), -1)
        if logits.shape[1] != manifest.model.classes:
            raise BadArtifact(
                f"{self._artifact.path} gives {logits.shape[1]} logits for {manifest.model.classes} classes.",
                why="Its manifest is of another artifact.",
                hint="Export it again.",
            )
        return logits


def prepare_images(manifest: Manifest, pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """Images of shape (images, height, width, 3) as the package takes them: pictures, or tensors."""
    return reorder_channels(manifest, pixels) if manifest.input.kind == "image" else prepare_input(manifest, pixels)


def reorder_channels(manifest: Manifest, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pictures in red, green, blue, whose order of channels Core ML then changes to the model's own."""
    return pixels if manifest.preprocessing.channel_order == "rgb" else pixels[..., ::-1]


def make_reference_predictor(artifact: Artifact) -> PredictFunction:
    program = CoreMLProgram(artifact.path)
    if artifact.manifest.input.name not in program.inputs:
        raise BadArtifact(
            f"{artifact.path} takes {', '.join(program.inputs)}, no '{artifact.manifest.input.name}'.",
            why="Its manifest is of another artifact.",
            hint="Export it again.",
        )
    return program if program.not_batchable_reason is None else WorkerPool(program)


def make_native_predictor(package: Path) -> PredictFunction:
    """Core ML's own prediction, one image after the other; arrays of uint8 go in as pictures."""
    model = load_mlmodel(package)

    def predict(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        ((name, images),) = inputs.items()
        alone = [{name: Image.fromarray(v) if v.dtype == np.uint8 else v[None]} for v in images]
        try:
            outputs = [model.predict(given) for given in alone]
        except Exception as reason:  # Core ML's failures come as RuntimeError and as plain Exception
            raise BadArtifact(f"Core ML cannot run {package}: {reason}") from reason
        return {name: [output[name] for output in outputs] for name in outputs[0]}

    return predict


def load_mlmodel(package: Path) -> Any:
    try:
        with silence_libraries():
            from coremltools.models import MLModel
    except ImportError:
        raise ToolMissing(
            "coremltools is not installed.", why="It runs Core ML on macOS.", hint="pip install coremltools==9.0"
        ) from None
    try:
        return MLModel(str(package))
    except Exception as reason:
        raise BadArtifact(f"Core ML cannot load {package}: {reason}", hint="Export it again.") from reason
