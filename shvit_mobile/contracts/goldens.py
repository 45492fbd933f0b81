"""Goldens: a few pictures as an app is handed them, and what the artifact is to make of them.

They lie in a folder beside the artifact, `NAME.goldens`, with `goldens.json`. An app checks itself in two steps: it
makes pixels of the encoded picture and compares them with the stored ones; then it gives the artifact the stored pixels
and compares the logits. So a person sees which of the two is off.
"""

from __future__ import annotations

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
    """One picture.

    Attributes:
        image: the name of the encoded picture in the folder, a JPEG.
        pixels: the name of what preprocessing makes of it: uint8, (height, width, 3) in the order of rows, columns,
            channels, without a header; channels in the preprocessing's order.
        logits: the artifact's for these pixels, as it ran where it was made.
        float_logits: the float model's for the same pixels.
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
        artifact_sha256: whose they are.
        how, engine: what ran the artifact.
        tolerance: the largest difference of a logit that another machine's kernels may make.
        pixels_tolerance: the mean absolute difference, in steps of 0 to 255, that another decoder of JPEG may make.
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
    """The goldens beside an artifact, once they are known to be its own.

    Raises:
        BadArtifact: there are none, they were changed, or they are another artifact's.
    """
    name = artifact.path.name
    if artifact.manifest.goldens is None:
        raise BadArtifact(
            f"{name} has no goldens.", why="It was exported before there were any.", hint=EXPORT_AGAIN_HINT
        )
    artifact.check_goldens()
    goldens = Goldens.load(get_goldens_path(artifact.path) / GOLDENS_NAME)
    if goldens.artifact_sha256 != artifact.manifest.artifact.sha256:
        raise BadArtifact(
            f"The goldens beside {name} are another artifact's.",
            why=f"They were made with SHA-256 {goldens.artifact_sha256[:12]}….",
            hint=EXPORT_AGAIN_HINT,
        )
    return goldens
