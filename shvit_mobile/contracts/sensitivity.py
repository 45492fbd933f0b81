"""The sensitivity report: how much int8 in each layer and block changes the logits."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, model_validator

from shvit_mobile.contracts.document import Contract, Count, Document, JsonFloat, SchemaVersion, Sha256
from shvit_mobile.errors import BadReport

# SQNR is clamped to these limits, in dB, to rank noise: beyond them there is only noise, or none.
_DECIBEL_LIMITS = (-100.0, 300.0)
KLDivergence = Annotated[float, Field(ge=0)]


class SensitivityFigures(Contract):
    """The effect of int8 in one layer or block.

    Attributes:
        quantized_db, quantized_kl: With only this in int8: SQNR of the logits against the float model in dB, and mean
            Kullback-Leibler divergence from its class distribution in nats. For maps: the lowest SQNR, and None.
        float_db, float_kl: The same with only this in float and all else in int8.
    """

    quantized_db: JsonFloat
    quantized_kl: KLDivergence | None = None
    float_db: JsonFloat
    float_kl: KLDivergence | None = None


SensitivityRowT = TypeVar("SensitivityRowT", bound=SensitivityFigures)


class LayerSensitivity(SensitivityFigures):
    """The sensitivity of one dense convolution.

    Attributes:
        layer: The layer's name in the deploy form.
        macs: Multiply-adds for one image.
        weights: The number of elements of its weight.
    """

    layer: str
    macs: Count
    weights: Count


class BlockSensitivity(SensitivityFigures):
    """The sensitivity of a group of layers: the stem, a downsampling, or a block of a stage.

    Attributes:
        block: The block's name in the deploy form.
        layers: Its int8 layers, in the order of the data flow.
    """

    block: str
    layers: tuple[str, ...]


def get_row_name(row: LayerSensitivity | BlockSensitivity) -> str:
    """Return the name of the layer or block of a row."""
    return row.block if isinstance(row, BlockSensitivity) else row.layer


class SensitivityReport(Document):
    """The sensitivity of each int8 layer of a recipe.

    Attributes:
        checkpoint_sha256: The SHA-256 of the float model.
        recipe_sha256: The SHA-256 of the recipe's JSON; its ranges and parameter overrides were used.
        images: The number of images.
        int8_db, int8_kl: The figures of the recipe itself, with all its layers in int8.
        layers, blocks: The rows, in the order of the data flow.
    """

    NAME = "sensitivity"
    ERROR = BadReport
    TITLE = "a sensitivity report"

    schema_version: SchemaVersion = "1.1"
    kind: Literal["sensitivity"] = "sensitivity"
    checkpoint_sha256: Sha256
    recipe_sha256: Sha256
    images: Annotated[int, Field(ge=1)]
    int8_db: JsonFloat
    int8_kl: KLDivergence | None = None
    layers: tuple[LayerSensitivity, ...]
    blocks: tuple[BlockSensitivity, ...]

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        names, inside = [row.layer for row in self.layers], [name for row in self.blocks for name in row.layers]
        if len(set(names)) < len(names) or len(set(inside)) < len(inside):
            raise ValueError("layers: one occurs twice")
        if not set(inside) <= set(names):
            raise ValueError(f"blocks: {min(set(inside) - set(names))} is none of the layers")
        return self


def rank_by_noise(rows: Sequence[SensitivityRowT]) -> list[tuple[SensitivityRowT, float]]:
    """Sort rows by the noise that each adds alone in int8, most noise first, and return each with its share of the sum.

    Noise is measured as power, so the noise of single layers adds up to about the noise of all together.
    """
    powers = [10 ** (-min(max(row.quantized_db, _DECIBEL_LIMITS[0]), _DECIBEL_LIMITS[1]) / 10) for row in rows]
    total = sum(powers)
    shares = [(row, power / total) for row, power in zip(rows, powers, strict=True)]
    return sorted(shares, key=lambda pair: -pair[1])
