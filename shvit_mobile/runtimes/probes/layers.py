"""A probe: an artifact that runs here and shows, at every landmark, its value, or takes another in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.deploy.comparison_points import ComparisonPoint
from shvit_mobile.errors import InvalidConfig

# Named as text, so that looking into an ONNX file does not import the executor, nor the other way round.
PROBE_CLASSES: dict[Target, tuple[str, str]] = {
    "coreml": ("shvit_mobile.runtimes.probes.coreml", "CoreMLActivationProbe"),
    "onnx": ("shvit_mobile.runtimes.probes.onnx", "ONNXActivationProbe"),
}
OPAQUE_TARGETS: dict[Target, str] = {
    "executorch": "To ExecuTorch an XNNPACK delegate is one operator, and its runtime for Python is built without "
    "ETDump, so nothing between input and logits can be seen."
}


@dataclass(frozen=True)
class PointLocation:
    """Where a landmark is in an artifact.

    Attributes:
        landmark: the layer in the deploy form.
        value: its name in the artifact: the layer's output, after its relu and after its rounding to int8 where the
            artifact has them.
        rectified: whether it is after a relu.
    """

    point: ComparisonPoint
    value: str
    rectified: bool


class ActivationProbe(Protocol):
    """An artifact whose landmarks can be seen.

    Attributes:
        engine: what runs it, for people.
        places: of every landmark, in the order of the data.
    """

    engine: str
    locations: tuple[PointLocation, ...]

    def run_free(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        """The artifact's own values by the names of the landmarks.

        Args:
            pixels: of one image: uint8, shape (1, height, width, 3).
        """
        ...

    def run_teacher_forced(self, pixels: NDArray[np.uint8], forced_values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Its values where everything behind a landmark computes with what is given there, not with its own value.

        Args:
            pixels: as for `free`.
            given: a value for every landmark, by name.
        """
        ...


def open_activation_probe(artifact: Artifact, points: Sequence[ComparisonPoint]) -> ActivationProbe:
    """A probe into `artifact`.

    Args:
        artifact: what to look into.
        landmarks: of the deploy form that it was made from.

    Raises:
        BadArtifact: it is damaged, or its layers are not the deploy form's.
        InvalidConfig: nobody can look into artifacts of this target.
    """
    check_probe_support(artifact)
    module, name = PROBE_CLASSES[artifact.manifest.target]
    probe: ActivationProbe = getattr(import_module(module), name)(artifact, points)
    return probe


def check_probe_support(artifact: Artifact) -> None:
    """Raises `InvalidConfig` where nobody can look into artifacts of this target."""
    if artifact.manifest.target in OPAQUE_TARGETS:
        raise InvalidConfig(
            f"The layers of {artifact.path.name} cannot be compared.",
            why=OPAQUE_TARGETS[artifact.manifest.target],
            hint="Compare those of an ONNX file made with its recipe: shvit-mobile export --target onnx --recipe FILE",
        )
