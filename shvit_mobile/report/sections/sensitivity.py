"""Sensitivity: which layers and blocks make the noise of int8, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.contracts.report import Report
from shvit_mobile.contracts.sensitivity import BlockSensitivity, LayerSensitivity, Sensitivity, name_of, worst_first
from shvit_mobile.report.charts.bars import stacked
from shvit_mobile.report.formatting import brief, decibels, listed, number, percent, plural, short
from shvit_mobile.report.sections.section import Section

# Layers that stand in the open; a model has sixty or more.
SHOWN = 12
NAMED = 5


@dataclass(frozen=True)
class Row:
    """A layer or a block."""

    name: str
    graphic: Markup
    share: str
    alone: str
    kl: str
    without: str
    gain: str
    macs: str


@dataclass(frozen=True)
class Recipe:
    """What one document says of its recipe."""

    recipe: str
    sentence: str
    blocks: tuple[Row, ...]
    layers: tuple[Row, ...]
    rest: tuple[Row, ...]


def sensitivity(report: Report) -> Section | None:
    found = [shown(one) for one in report.sensitivity if one.layers]
    return Section("sensitivity", "What int8 costs where", "Sensitivity", {"recipes": found}) if found else None


def shown(one: Sensitivity) -> Recipe:
    macs = {row.layer: row.macs for row in one.layers}
    total = sum(macs.values())
    layers = rows(one, one.layers, {name: share(count, total) for name, count in macs.items()})
    in_blocks = {block.block: share(sum(macs.get(name, 0) for name in block.layers), total) for block in one.blocks}
    return Recipe(
        recipe=brief(one.recipe_sha256),
        sentence=sentence(one),
        blocks=rows(one, one.blocks, in_blocks),
        layers=layers[:SHOWN],
        rest=layers[SHOWN:],
    )


def share(part: int, total: int) -> float:
    return part / total if total else 0.0


def rows(
    one: Sensitivity, found: Sequence[LayerSensitivity | BlockSensitivity], macs: dict[str, float]
) -> tuple[Row, ...]:
    """Bars of one table are on one axis, which ends with its worst."""
    ranked = worst_first(found)
    most = max((noise for _, noise in ranked), default=0.0)
    return tuple(
        Row(
            name=name_of(row),
            graphic=bar(row, noise, most),
            share=percent(noise),
            alone=decibels(row.quantized_db),
            kl=short(row.quantized_kl),
            without=decibels(row.float_db),
            gain=number(row.float_db - one.int8_db, 2),
            macs=percent(macs[name_of(row)]),
        )
        for row, noise in ranked
    )


def bar(row: LayerSensitivity | BlockSensitivity, noise: float, most: float) -> Markup:
    words = f"{name_of(row)}: {percent(noise)}% of the noise"
    return stacked({words: (noise, "c1")}, most, words)


def sentence(one: Sensitivity) -> str:
    """What all in int8 comes to, and how few layers make half of it."""
    ranked, found, sum_of = worst_first(one.layers), list[str](), 0.0
    for row, noise in ranked:
        if sum_of >= 0.5:
            break
        found.append(f"{row.layer} ({percent(noise)}%)")
        sum_of += noise
    besides = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return (
        f"All in int8: {decibels(one.int8_db)} dB, mean KL {short(one.int8_kl)}, on {plural(one.images, 'image')}. "
        f"{plural(len(found), 'layer')} of {len(ranked)} make half of the noise: "
        f"{listed(found) if not besides else ', '.join(found[:NAMED]) + besides}."
    )
