"""What every runtime offers: images in, logits out, and a word on whether the real engine ran."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.drift.row import How
from shvit_mobile.images.preprocessing import raw
from shvit_mobile.targets.manifest import Manifest


class Runner(Protocol):
    """A loaded artifact.

    Attributes:
        how: "native" where the target's own runtime runs it, "reference" where our executor of the specification does.
        engine: its name and version, for people.
    """

    how: How
    engine: str

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The logits of some images.

        Args:
            pixels: as `Preprocessing.pixels` gives them: uint8, shape (images, height, width, 3).

        Returns:
            float32, shape (images, classes).

        Raises:
            ShapeMismatch: the images are not of the size the artifact takes.
        """
        ...


def input_values(manifest: Manifest, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The tensor (images, 3, height, width) that the artifact's input contract asks for."""
    return raw(pixels) if manifest.input.values == "pixels" else manifest.preprocessing.normalised(pixels)
