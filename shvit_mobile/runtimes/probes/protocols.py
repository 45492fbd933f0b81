"""The interfaces of probes and observers, which show the values inside an artifact while an image runs through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.deploy.wiring import Call

ValuePart = Literal["squares", "sum"]


@dataclass(frozen=True)
class PointLocation:
    """The value of an artifact that corresponds to a comparison point.

    Attributes:
        point: The layer in the deploy form.
        value: The name of the layer's output in the artifact, after the activation that limits it and its rounding to
            int8 where the artifact has them.
        limits: The interval of that activation; None if the value comes before it.
        scaled: Whether it comes after the constants that the layer's output is multiplied by, where there are any.
    """

    point: Call
    value: str
    limits: tuple[float, float] | None = None
    scaled: bool = False


class ActivationProbe(Protocol):
    """An artifact that runs here and shows, or replaces, its values at the comparison points.

    Attributes:
        engine: The runtime, for people.
        locations: The location of each comparison point, in execution order.
    """

    engine: str
    locations: tuple[PointLocation, ...]

    def run_free(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        """Return the artifact's own values by the names of the comparison points.

        Args:
            pixels: One image: uint8, shape (1, height, width, 3).
        """
        ...

    def run_teacher_forced(self, pixels: NDArray[np.uint8], forced_values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the artifact's values where each layer computes from `forced_values` instead of earlier own values.

        Args:
            pixels: As for `run_free`.
            forced_values: A value for each comparison point, by name.
        """
        ...


@dataclass(frozen=True)
class ObservedValue:
    """A value of the program.

    Attributes:
        name: Its name.
        layer: The layer of the deploy form that it belongs to.
        operator: The operator that computes it.
        part: None for the operator's output, else an intermediate: the squares of a norm, or a sum. Only the kernel
            knows whether it computes the intermediate, and in which precision.
    """

    name: str
    layer: str
    operator: str
    part: ValuePart | None = None

    def with_part(self, part: ValuePart) -> ObservedValue:
        """Return an intermediate of the operator that computes this value."""
        return replace(self, part=part)


ValueCallback = Callable[[ObservedValue, Tensor], None]


class ActivationObserver(Protocol):
    """A program, or its float model, that shows every float value as an image runs through it.

    Attributes:
        engine: The runtime, for people.
        computes_in_fp16: Whether the program stores values in fp16; if not, `round_to_fp16` simulates it.
    """

    engine: str
    computes_in_fp16: bool

    def run(self, pixels: NDArray[np.uint8], on_value: ValueCallback, *, round_to_fp16: bool) -> None:
        """Run one image.

        Args:
            pixels: uint8, shape (1, height, width, 3).
            on_value: Called with each float value as it is computed.
            round_to_fp16: Round each value to fp16; otherwise compute in float32.
        """
        ...
