"""SVG elements, escaped by construction, and the scales that figures are drawn on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup, escape


def create_element(name: str, /, *children: str | Markup, **attributes: object) -> Markup:
    """An element; what is no `Markup` is escaped, in its children as in its attributes.

    Args:
        name: of the element.
        children: texts and elements inside it.
        attributes: `stroke_width=2` is written stroke-width="2"; `class_` is class; None is left out.
    """
    told = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), told, join_markup(children))


def join_markup(parts: Iterable[str | Markup]) -> Markup:
    return Markup("").join(escape(part) for part in parts)


def create_chart(*children: str | Markup, kind: str, label: str | None) -> Markup:
    """An SVG that fills its place; `label` says in words what it shows, None where a text beside it does."""
    said = {"aria_hidden": "true"} if label is None else {"role": "img", "aria_label": label}
    return create_element("svg", *children, class_=f"chart {kind}", width="100%", focusable="false", **said)


def format_position(share: float) -> str:
    """A position: 0 is the left or upper end, 1 the other."""
    return f"{100 * share:.2f}%"


def choose_text_anchor(share: float) -> str:
    """Where a text at a position begins, so that it stays inside."""
    return "start" if share < 0.06 else "end" if share > 0.94 else "middle"


def create_tooltip(text: str) -> Markup:
    return create_element("title", text)


@dataclass(frozen=True)
class AxisScale:
    """An axis from `low` to `high`, logarithmic if asked for; both above 0 then."""

    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, 0 to 1; what is outside lies at the end."""
        low, high, value = (log10(max(v, 1e-12)) if self.log else v for v in (self.low, self.high, value))
        return 0.5 if high == low else min(max((value - low) / (high - low), 0.0), 1.0)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values on it, no more than `most` if it is linear."""
        return (
            compute_log_ticks(self.low, self.high, most)
            if self.log
            else compute_linear_ticks(self.low, self.high, most)
        )


def compute_linear_ticks(low: float, high: float, most: int) -> list[float]:
    if high <= low:
        return [low]
    power = 10.0 ** floor(log10((high - low) / most))
    step = next(power * part for part in (1, 2, 5, 10) if (high - low) / (power * part) <= most)
    return [round(count * step, 10) for count in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def compute_log_ticks(low: float, high: float, most: int) -> list[float]:
    """1, 2 and 5 of each power of ten; only powers where that is too many."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    for parts in ((1, 2, 5), (1, 3), (1,)):
        found = [part * 10.0**power for power in powers for part in parts if low <= part * 10.0**power <= high]
        if len(found) <= most:
            break
    return found


def fit_scale(values: Iterable[float], *, room: float = 0.05, least: float = 1e-9) -> AxisScale:
    """A linear scale with some room to either side of the values."""
    seen = list(values)
    low, high = min(seen), max(seen)
    wide = max(high - low, least) * room
    return AxisScale(low - wide, high + wide)
