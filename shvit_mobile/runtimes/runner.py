"""What every runtime offers: images in, logits out, and a word on whether the real engine ran."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.contracts.input_layout import apply_space_to_depth
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.preprocessing import convert_to_raw_input
from shvit_mobile.errors import ShapeMismatch


class Runner(Protocol):
    """A loaded artifact.

    Attributes:
        how: "native" where the target's own runtime runs it, "reference" where our executor of the specification does,
            "emulated" where the target's own runtime runs it on an emulated CPU.
        engine: its name and version, for people.
    """

    execution: Execution
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


def check_size(artifact: Artifact, pixels: NDArray[np.uint8]) -> None:
    """Raises `ShapeMismatch` unless `pixels` are images of the size that an artifact takes."""
    expected = (*artifact.manifest.preprocessing.size, 3)
    if pixels.ndim != 4 or pixels.shape[1:] != expected:
        raise ShapeMismatch(
            f"The images have the shape {pixels.shape[1:]}, {artifact.path.name} takes {expected}.",
            why="An artifact is made for one size.",
            hint="Prepare the images as the manifest's preprocessing says.",
        )


def prepare_input(manifest: Manifest, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The tensor that the artifact's input contract asks for: (images, 3, height, width) or its blocks."""
    values = (
        convert_to_raw_input(pixels) if manifest.input.values == "pixels" else manifest.preprocessing.normalize(pixels)
    )
    return values if manifest.input.border is None else apply_space_to_depth(values, manifest.input.border)
