"""Goldens: a few images, their pixels after preprocessing, and what the artifact computes for these pixels.

They are in a folder beside the artifact, `NAME.goldens`, with `goldens.json`. An app checks itself in two steps. It
preprocesses the encoded image and compares the pixels with the stored ones; then it runs the artifact on the stored
pixels and compares the logits. This tells errors of preprocessing from errors of inference.

The three maps of a model for images of 512 x 512 pixels have 209,000 values, which do not fit JSON. Of each map, the
values at some positions are stored, the same for all images.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shvit_mobile.contracts.document import Contract, Document, FileName, SchemaVersion, Sha256, parse_version
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.contracts.manifest import OutputSamples
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
        logits: The logits of the artifact for these pixels, computed at export; empty for other tasks.
        float_logits: The logits of the float model for the same pixels.
        sampled_values: For other tasks, the artifact's values at the positions of `Goldens.sampled_outputs`, output by
            output.
        float_sampled_values: The float model's values there.
    """

    image: FileName
    image_sha256: Sha256
    pixels: FileName
    pixels_sha256: Sha256
    logits: tuple[float, ...] = ()
    float_logits: tuple[float, ...] = ()
    sampled_values: tuple[float, ...] = Field(default=(), exclude_if=lambda value: not value)
    float_sampled_values: tuple[float, ...] = Field(default=(), exclude_if=lambda value: not value)

    @property
    def expected(self) -> tuple[float, ...]:
        """What is compared: the logits, or the values of maps."""
        return self.sampled_values or self.logits

    @property
    def float_expected(self) -> tuple[float, ...]:
        """The same of the float model."""
        return self.float_sampled_values or self.float_logits


class Goldens(Document):
    """The goldens of one artifact.

    Attributes:
        artifact_sha256: The SHA-256 of the artifact.
        how, engine: How the artifact ran, and in which runtime.
        tolerance: The largest difference of a logit that correct kernels of another machine may cause; of maps, the
            largest tolerance of `sampled_outputs`.
        sampled_outputs: Which values of each map are stored; empty for a classifier.
        pixels_tolerance: The mean absolute difference, in steps of 0 to 255, that another JPEG decoder may cause.
        reduced_pixels_tolerance: The same for an image that is decoded at reduced scale: `pixels_tolerance`, plus what
            decoding at reduced scale changed at export in the image where it changes most; None in version 1.0.
    """

    NAME = "goldens"
    ERROR = BadArtifact
    TITLE = "a list of goldens"
    HAS_CHECKSUM = False  # the manifest holds the SHA-256 of their folder

    schema_version: SchemaVersion = "1.2"
    kind: Literal["goldens"] = "goldens"
    artifact_sha256: Sha256
    precision: Precision
    preprocessing: Preprocessing
    how: Execution
    engine: str
    tolerance: Annotated[float, Field(ge=0)]
    sampled_outputs: tuple[OutputSamples, ...] = Field(default=(), exclude_if=lambda value: not value)
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
        tolerances = self.list_tolerances(len(self.images[0].expected))
        largest = max((abs(value) for image in self.images for value in image.expected), default=0.0)
        for number, image in enumerate(self.images):
            if bool(image.sampled_values or image.float_sampled_values) != bool(self.sampled_outputs):
                raise ValueError(f"images.{number}: samples and their values belong together")
            if not len(tolerances) == len(image.expected) == len(image.float_expected) > 0:
                raise ValueError(f"images.{number}: its {self._noun} are of another number")
            if self.precision in ("fp32", "fp16"):
                values = zip(image.expected, image.float_expected, tolerances, strict=True)
                if any(abs(actual - reference) > LOWERING_FACTOR * bound for actual, reference, bound in values):
                    raise ValueError(f"images.{number}: its {self._noun} are not the float model's")
        if self.reduced_pixels_tolerance is None:
            if parse_version(self.schema_version) >= _REDUCED_SINCE:
                raise ValueError("reduced_pixels_tolerance: Field required")
        elif self.reduced_pixels_tolerance < self.pixels_tolerance:
            raise ValueError("reduced_pixels_tolerance: it is below pixels_tolerance")
        if self.tolerance > max(1.0, largest):
            raise ValueError(f"tolerance: with {self.tolerance:g}, any {self._noun} would pass")
        return self

    @property
    def _noun(self) -> str:
        return "values" if self.sampled_outputs else "logits"

    def list_tolerances(self, count: int) -> tuple[float, ...]:
        """Return the tolerance of each value of `GoldenImage.expected`, of which a classifier has `count`."""
        if not self.sampled_outputs:
            return (self.tolerance,) * count
        return tuple(one.tolerance for one in self.sampled_outputs for _ in one.positions)
