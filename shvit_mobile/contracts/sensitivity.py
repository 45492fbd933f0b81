"""The sensitivity report: what int8 costs the logits, layer by layer and block by block, as one document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from shvit_mobile.contracts.document import Contract, Count, Document, JsonFloat, Sha256
from shvit_mobile.errors import BadReport

# Levels that noise is told apart between, in dB: beyond them there is nothing but noise, or none.
DECIBEL_LIMITS = (-100.0, 300.0)
KLDivergence = Annotated[float, Field(ge=0)]


class SensitivityFigures(Contract):
    """What int8 costs in one place, seen from either end.

    Attributes:
        quantized_db, quantized_kl: this alone in int8, all else float: SQNR of the logits against the float model's in
            dB, and mean divergence from its distribution in nats.
        float_db, float_kl: this alone in float, all else in int8.
    """

    quantized_db: JsonFloat
    quantized_kl: KLDivergence
    float_db: JsonFloat
    float_kl: KLDivergence


SensitivityRowT = TypeVar("SensitivityRowT", bound=SensitivityFigures)


class LayerSensitivity(SensitivityFigures):
    """One dense convolution.

    Attributes:
        layer: its name in the deploy form.
        macs: multiply-adds of an image.
        weights: elements of its weight.
    """

    layer: str
    macs: Count
    weights: Count


class BlockSensitivity(SensitivityFigures):
    """Layers that belong together: the stem, what leads into a stage, or a block of one.

    Attributes:
        block: its name in the deploy form.
        layers: those of it that are in int8, in the order of the data.
    """

    block: str
    layers: tuple[str, ...]


def get_row_name(row: LayerSensitivity | BlockSensitivity) -> str:
    """The layer or the block that a row is of."""
    return row.block if isinstance(row, BlockSensitivity) else row.layer


class SensitivityReport(Document):
    """What each int8 layer of a recipe costs.

    Attributes:
        checkpoint_sha256: of the float model.
        recipe_sha256: of the recipe as text, with whose ranges and corrections it was measured.
        images: on how many.
        int8_db, int8_kl: the recipe as it is, all its layers in int8.
        layers, blocks: in the order of the data.
    """

    NAME = "sensitivity"
    ERROR = BadReport
    TITLE = "a sensitivity report"

    kind: Literal["sensitivity"] = "sensitivity"
    checkpoint_sha256: Sha256
    recipe_sha256: Sha256
    images: Annotated[int, Field(ge=1)]
    int8_db: JsonFloat
    int8_kl: KLDivergence
    layers: tuple[LayerSensitivity, ...]
    blocks: tuple[BlockSensitivity, ...]


def rank_by_noise(rows: Sequence[SensitivityRowT]) -> list[tuple[SensitivityRowT, float]]:
    """Rows by the noise that each makes alone in int8, the most first, with its share of that of all of them.

    Noise is power: what single layers make adds up to about what all make together.
    """
    powers = [10 ** (-min(max(row.quantized_db, DECIBEL_LIMITS[0]), DECIBEL_LIMITS[1]) / 10) for row in rows]
    total = sum(powers)
    shares = [(row, power / total) for row, power in zip(rows, powers, strict=True)]
    return sorted(shares, key=lambda pair: -pair[1])
