"""Goldens: a few images, their pixels after preprocessing, and the logits of the artifact for these pixels.

They are in a folder beside the artifact, `NAME.goldens`, with `goldens.json`. An app checks itself in two steps. It
preprocesses the encoded image and compares the pixels with the stored ones; then it runs the artifact on the stored
pixels and compares the logits. This tells errors of preprocessing from errors of inference.
"""

from typing import Annotated, Literal

from pydantic import Field

from shvit_mobile.contracts.artifact import EXPORT_AGAIN_HINT, Artifact, get_goldens_path
from shvit_mobile.contracts.document import Contract, Document, Sha256
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.errors import BadArtifact

GOLDENS_NAME = "goldens.json"


class GoldenImage(Contract):
    """One golden image.

    Attributes:
        image: The file name of the encoded image, a JPEG.
        pixels: The file name of its pixels: uint8, (height, width, 3), row by row without a header; channels in the
            order of the preprocessing.
        logits: The logits of the artifact for these pixels, computed at export.
        float_logits: The logits of the float model for the same pixels.
    """

    image: str
    image_sha256: Sha256
    pixels: str
    pixels_sha256: Sha256
    logits: tuple[float, ...]
    float_logits: tuple[float, ...]


class Goldens(Document):
    """The goldens of one artifact.

    Attributes:
        artifact_sha256: The SHA-256 of the artifact.
        how, engine: How the artifact ran, and in which runtime.
        tolerance: The largest difference of a logit that correct kernels of another machine may cause.
        pixels_tolerance: The mean absolute difference, in steps of 0 to 255, that another JPEG decoder may cause.
    """

    NAME = "goldens"
    ERROR = BadArtifact
    TITLE = "a list of goldens"

    kind: Literal["goldens"] = "goldens"
    artifact_sha256: Sha256
    precision: Precision
    preprocessing: Preprocessing
    how: Execution
    engine: str
    tolerance: Annotated[float, Field(ge=0)]
    pixels_tolerance: Annotated[float, Field(ge=0)]
    images: Annotated[tuple[GoldenImage, ...], Field(min_length=1)]


def read_goldens(artifact: Artifact) -> Goldens:
    """Load the goldens beside an artifact.

    Raises:
        BadArtifact: If they are missing, were changed, or belong to another artifact.
    """
    name = artifact.path.name
    if artifact.manifest.goldens is None:
        raise BadArtifact(f"{name} has no goldens.", why="An earlier version exported it.", hint=EXPORT_AGAIN_HINT)
    artifact.check_goldens()
    goldens = Goldens.load(get_goldens_path(artifact.path) / GOLDENS_NAME)
    if goldens.artifact_sha256 != artifact.manifest.artifact.sha256:
        raise BadArtifact(
            f"The goldens beside {name} belong to another artifact.",
            why=f"The SHA-256 of that artifact is {goldens.artifact_sha256[:12]}….",
            hint=EXPORT_AGAIN_HINT,
        )
    return goldens
