"""Goldens: a few images, their pixels after preprocessing, and the logits of the artifact for these pixels.

They are in a folder beside the artifact, `NAME.goldens`, with `goldens.json`. An app checks itself in two steps. It
preprocesses the encoded image and compares the pixels with the stored ones; then it runs the artifact on the stored
pixels and compares the logits. This tells errors of preprocessing from errors of inference.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shvit_mobile.contracts.document import Contract, Document, FileName, SchemaVersion, Sha256, parse_version
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.errors import BadArtifact

GOLDENS_NAME = "goldens.json"
# fp32 and fp16 round the weights too; they are within this many tolerances of the float model.
LOWERING_FACTOR = 5
# Another JPEG decoder differs by less than 1, a wrong filter, crop or channel order by 1.9 or more.
MAX_PIXELS_TOLERANCE = 8.0
_REDUCED_SINCE = (1, 1)


class GoldenImage(Contract):
    """One golden image.

    Attributes:
        image: The file name of the encoded image, a JPEG.
        pixels: The file name of its pixels: uint8, (height, width, 3), row by row without a header; channels in the
            order of the preprocessing.
        logits: The logits of the artifact for these pixels, computed at export.
        float_logits: The logits of the float model for the same pixels.
    """

    image: FileName
    image_sha256: Sha256
    pixels: FileName
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
        reduced_pixels_tolerance: The same for an image that is decoded at reduced scale: `pixels_tolerance`, plus what
            decoding at reduced scale changed at export in the image where it changes most; None in version 1.0.
    """

    NAME = "goldens"
    ERROR = BadArtifact
    TITLE = "a list of goldens"
    HAS_CHECKSUM = False  # the manifest holds the SHA-256 of their folder

    schema_version: SchemaVersion = "1.1"
    kind: Literal["goldens"] = "goldens"
    artifact_sha256: Sha256
    precision: Precision
    preprocessing: Preprocessing
    how: Execution
    engine: str
    tolerance: Annotated[float, Field(ge=0)]
    pixels_tolerance: Annotated[float, Field(ge=0, le=MAX_PIXELS_TOLERANCE)]
    reduced_pixels_tolerance: Annotated[float, Field(le=MAX_PIXELS_TOLERANCE)] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    images: Annotated[tuple[GoldenImage, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        names = [name for image in self.images for name in (image.image, image.pixels)]
        if len({*names, GOLDENS_NAME}) <= len(names):
            raise ValueError("images: two have the same file")
        classes = len(self.images[0].logits)
        largest = max((abs(value) for image in self.images for value in image.logits), default=0.0)
        for number, image in enumerate(self.images):
            if not classes == len(image.logits) == len(image.float_logits) > 0:
                raise ValueError(f"images.{number}: its logits are of another number of classes")
            pairs = zip(image.logits, image.float_logits, strict=True)
            error = max(abs(actual - expected) for actual, expected in pairs)
            if self.precision in ("fp32", "fp16") and error > LOWERING_FACTOR * self.tolerance:
                raise ValueError(f"images.{number}: its logits are not the float model's")
        if self.reduced_pixels_tolerance is None:
            if parse_version(self.schema_version) >= _REDUCED_SINCE:
                raise ValueError("reduced_pixels_tolerance: Field required")
        elif self.reduced_pixels_tolerance < self.pixels_tolerance:
            raise ValueError("reduced_pixels_tolerance: it is below pixels_tolerance")
        if self.tolerance > max(1.0, largest):
            raise ValueError(f"tolerance: with {self.tolerance:g}, any logits would pass")
        return self
