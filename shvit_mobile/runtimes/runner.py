"""The interface of every runtime: images in, named outputs out."""

from collections.abc import Mapping
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.contracts.input_layout import apply_space_to_depth
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.preprocessing import convert_to_raw_input
from shvit_mobile.errors import BadArtifact, NotSupported, ShapeMismatch


class Runner(Protocol):
    """A loaded artifact.

    Attributes:
        execution: "native" if the target's own runtime runs the artifact, "reference" if this project's executor of the
            specification does, "emulated" if the target's own runtime runs on an emulated CPU.
        engine: The name and version of the runtime, for people.
    """

    execution: Execution
    engine: str

    def run_outputs(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Compute the outputs of images.

        Args:
            pixels: uint8, shape (images, height, width, 3), as decoded by `images.batches`.

        Returns:
            By name, in the order of `Manifest.output_shapes`: float32, shape (images, *shape).

        Raises:
            ShapeMismatch: If the images do not have the artifact's input size.
            BadArtifact: If the program fails, or its outputs do not have the shapes of the manifest.
        """
        ...

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the logits of images, float32, shape (images, classes); arguments and errors as for `run_outputs`.

        Raises:
            NotSupported: If the artifact is no classifier.
        """
        ...


def select_logits(artifact: Artifact, outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return a classifier's logits among its outputs; raise `NotSupported` for another artifact."""
    name = artifact.manifest.output.logits
    if name is None:
        raise NotSupported(
            f"{artifact.path.name} has no logits.",
            why=f"Its task is {artifact.manifest.task}; it returns {', '.join(outputs)}.",
            hint="Use `run_outputs`.",
        )
    return outputs[name]


def allocate_outputs(manifest: Manifest, images: int) -> dict[str, NDArray[np.float32]]:
    """Return arrays for the outputs of some images, by name; their values are undefined."""
    return {name: np.empty((images, *shape), np.float32) for name, shape in manifest.output_shapes.items()}


def check_outputs(artifact: Artifact, outputs: Mapping[str, NDArray[np.float32]], images: int) -> None:
    """Raise `BadArtifact` unless the outputs for some images have the shapes of the artifact's manifest."""
    for name, shape in artifact.manifest.output_shapes.items():
        if outputs[name].shape != (images, *shape):
            raise build_mismatch_error(
                f"{artifact.path} gives {name} of shape {outputs[name].shape} for {images} images, "
                f"not {(images, *shape)}."
            )


def split_outputs(manifest: Manifest, values: bytes) -> list[NDArray[np.float32]]:
    """Return the outputs of one image from the bytes of their float32 values, one output after the other.

    Raises:
        BadArtifact: If there is another number of values.
    """
    shapes = list(manifest.output_shapes.values())
    flat, sizes = np.frombuffer(values, np.float32), [prod(shape) for shape in shapes]
    if len(flat) != sum(sizes):
        raise build_mismatch_error(f"{manifest.artifact.name} returns {len(flat)} values, not {sum(sizes)}.")
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def check_size(artifact: Artifact, pixels: NDArray[np.uint8]) -> None:
    """Raise `ShapeMismatch` unless `pixels` have an input size of the artifact."""
    manifest = artifact.manifest
    sizes = [one.size for one in manifest.sizes] or [manifest.preprocessing.size]
    expected = [(*size, 3) for size in sizes]
    if pixels.ndim != 4 or pixels.shape[1:] not in expected:
        raise ShapeMismatch(
            f"The images have the shape {pixels.shape[1:]}, {artifact.path.name} takes "
            f"{' or '.join(map(str, expected))}.",
            why="An artifact takes images of the sizes that it was exported for.",
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
