"""A watch: every float value of an artifact's program, or of its float model, as an image runs through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.deploy.comparison_points import ComparisonPoint
from shvit_mobile.deploy.fold import DeployForm

ValuePart = Literal["squares", "sum"]


@dataclass(frozen=True)
class ObservedValue:
    """A value of the program.

    Attributes:
        name: of the value.
        layer: of the deploy form that it belongs to.
        operator: that makes it.
        part: what it is inside the operator, where it is not its output: the squares a norm forms, or a sum. Only a
            kernel knows whether it really makes them, and in which precision.
    """

    name: str
    layer: str
    operator: str
    part: ValuePart | None = None

    def with_part(self, part: ValuePart) -> ObservedValue:
        """What is formed on the way to this one."""
        return replace(self, part=part)


ValueCallback = Callable[[ObservedValue, Tensor], None]


class ActivationObserver(Protocol):
    """Something that runs with all its values seen.

    Attributes:
        engine: what runs, for people.
        computes_in_half: whether it holds values in fp16; if not, what would happen if it did is shown.
    """

    engine: str
    computes_in_fp16: bool

    def run(self, pixels: NDArray[np.uint8], on_value: ValueCallback, *, round_to_fp16: bool) -> None:
        """Runs one image.

        Args:
            pixels: uint8, shape (1, height, width, 3).
            look: told of every float value as it is made.
            half: round each value to fp16 as it would be held; else all of it is computed in float32.
        """
        ...


def open_activation_observer(
    artifact: Artifact, deployed: DeployForm, points: Sequence[ComparisonPoint]
) -> ActivationObserver:
    """A watch on a Core ML package's own program; on the deploy form for an artifact of another target.

    Args:
        artifact: what to watch.
        deployed: the form that it was made from.
        landmarks: of that form.

    Raises:
        BadArtifact: it is damaged, or its layers are not the deploy form's.
    """
    if artifact.manifest.target == "coreml":
        from shvit_mobile.runtimes.probes.coreml import CoreMLActivationObserver

        return CoreMLActivationObserver(artifact, points)
    from shvit_mobile.runtimes.probes.deploy_form import DeployFormActivationObserver

    return DeployFormActivationObserver(deployed)
