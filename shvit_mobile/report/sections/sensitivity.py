"""The section on sensitivity: the layers and blocks that cause the noise of int8, the worst first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.contracts.sensitivity import (
    BlockSensitivity,
    LayerSensitivity,
    SensitivityReport,
    get_row_name,
    rank_by_noise,
)
from shvit_mobile.report.charts.cells import draw_stacked_bar
from shvit_mobile.report.formatting import (
    abbreviate_sha256,
    format_decibels,
    format_percent,
    format_significant,
    join_words,
    pluralize,
)
from shvit_mobile.report.sentences import NAMED_LAYERS

# Layers that are shown at first; a model has sixty or more.
_SHOWN_LAYERS = 12


@dataclass(frozen=True)
class _SensitivityRow:
    """A layer or a block: its share of the noise, what it gains in float, and its share of the multiply-adds."""

    name: str
    row: LayerSensitivity | BlockSensitivity
    graphic: Markup
    noise: float
    gain: float
    macs: float


@dataclass(frozen=True)
class _RecipeSensitivity:
    """The sensitivity of one recipe."""

    recipe: str
    sentence: str
    blocks: tuple[_SensitivityRow, ...]
    layers: tuple[_SensitivityRow, ...]
    rest: tuple[_SensitivityRow, ...]


def build_variables(report: ModelReport) -> dict[str, object] | None:
    found = [_build_recipe_sensitivity(one) for one in report.sensitivity if one.layers]
    return {"recipes": found} if found else None


def _build_recipe_sensitivity(one: SensitivityReport) -> _RecipeSensitivity:
    macs = {row.layer: row.macs for row in one.layers}
    in_blocks = {block.block: sum(macs.get(name, 0) for name in block.layers) for block in one.blocks}
    total = sum(macs.values())
    layers = _build_sensitivity_rows(one, one.layers, macs, total)
    return _RecipeSensitivity(
        recipe=abbreviate_sha256(one.recipe_sha256),
        sentence=_describe_sensitivity(one),
        blocks=_build_sensitivity_rows(one, one.blocks, in_blocks, total),
        layers=layers[:_SHOWN_LAYERS],
        rest=layers[_SHOWN_LAYERS:],
    )


def _build_sensitivity_rows(
    one: SensitivityReport, found: Sequence[LayerSensitivity | BlockSensitivity], macs: Mapping[str, int], total: int
) -> tuple[_SensitivityRow, ...]:
    """Build rows whose bars share one axis, which ends at the worst."""
    ranked = rank_by_noise(found)
    most = max((noise for _, noise in ranked), default=0.0)
    return tuple(
        _SensitivityRow(
            name=get_row_name(row),
            row=row,
            graphic=_draw_noise_bar(row, noise, most),
            noise=noise,
            gain=row.float_db - one.int8_db,
            macs=macs[get_row_name(row)] / total if total else 0.0,
        )
        for row, noise in ranked
    )


def _draw_noise_bar(row: LayerSensitivity | BlockSensitivity, noise: float, most: float) -> Markup:
    words = f"{get_row_name(row)}: {format_percent(noise)}% of the noise"
    return draw_stacked_bar({words: (noise, "c1")}, most, words)


def _describe_sensitivity(one: SensitivityReport) -> str:
    """Describe int8 as a whole, and the layers that cause half of its noise."""
    ranked, worst, share = rank_by_noise(one.layers), list[str](), 0.0
    for row, noise in ranked:
        if share >= 0.5:
            break
        worst.append(f"{row.layer} ({format_percent(noise)}%)")
        share += noise
    left = len(worst) - NAMED_LAYERS
    named = worst if left <= 0 else [*worst[:NAMED_LAYERS], f"{left} more"]
    return (
        f"With all layers in int8: {format_decibels(one.int8_db)} dB, mean KL {format_significant(one.int8_kl)}, on "
        f"{pluralize(one.images, 'image')}. {len(worst)} of {pluralize(len(ranked), 'layer')} cause half of the noise: "
        f"{join_words(named)}."
    )
