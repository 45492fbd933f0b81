"""The interface of every runtime: images in, logits out."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.contracts.input_layout import apply_space_to_depth
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.preprocessing import convert_to_raw_input
from shvit_mobile.errors import BadArtifact, ShapeMismatch


class Runner(Protocol):
    """A loaded artifact.

    Attributes:
        execution: "native" if the target's own runtime runs the artifact, "reference" if this project's executor of the
            specification does, "emulated" if the target's own runtime runs on an emulated CPU.
        engine: The name and version of the runtime, for people.
    """

    execution: Execution
    engine: str

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the logits of images.

        Args:
            pixels: uint8, shape (images, height, width, 3), as decoded by `images.batches`.

        Returns:
            float32, shape (images, classes).

        Raises:
            ShapeMismatch: If the images do not have the artifact's input size.
            BadArtifact: If the program fails, or does not return one logit per class.
        """
        ...


def check_size(artifact: Artifact, pixels: NDArray[np.uint8]) -> None:
    """Raise `ShapeMismatch` unless `pixels` have the artifact's input size."""
    expected = (*artifact.manifest.preprocessing.size, 3)
    if pixels.ndim != 4 or pixels.shape[1:] != expected:
        raise ShapeMismatch(
            f"The images have the shape {pixels.shape[1:]}, {artifact.path.name} takes {expected}.",
            why="An artifact takes images of one size.",
            hint="Prepare the images as the manifest's preprocessing says.",
        )


def prepare_input(manifest: Manifest, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the input tensor of an artifact: (images, 3, height, width), or its space-to-depth blocks."""
    values = (
        convert_to_raw_input(pixels) if manifest.input.values == "pixels" else manifest.preprocessing.normalize(pixels)
    )
    return values if manifest.input.border is None else apply_space_to_depth(values, manifest.input.border)


def build_mismatch_error(what: str) -> BadArtifact:
    """Return the error for an artifact whose inputs or outputs differ from its manifest; `what` is the difference."""
    return BadArtifact(what, why="The manifest belongs to another artifact.", hint="Export it again.")
