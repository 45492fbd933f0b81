"""Creates SVG elements, escaped by construction, and the scales of axes."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup, escape


def create_element(name: str, /, *children: str | Markup, **attributes: object) -> Markup:
    """Create an element; escape every child and attribute that is not `Markup`.

    Args:
        name: The name of the element.
        children: Texts and elements inside it.
        attributes: `stroke_width=2` becomes stroke-width="2"; `class_` becomes class; None is left out.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, join_markup(children))


def join_markup(parts: Iterable[str | Markup]) -> Markup:
    return Markup("").join(escape(part) for part in parts)


def create_chart(*children: str | Markup, kind: str, label: str | None) -> Markup:
    """Create an SVG that fills its container; `label` describes it, None if a text beside it does."""
    access = {"aria_hidden": "true"} if label is None else {"role": "img", "aria_label": label}
    return create_element("svg", *children, class_=f"chart {kind}", width="100%", focusable="false", **access)


def format_position(share: float) -> str:
    """Return a position; 0 is the left or upper end."""
    return f"{100 * share:.2f}%"


def choose_text_anchor(share: float) -> str:
    """Return the anchor with which a text at a position stays inside."""
    return "start" if share < 0.06 else "end" if share > 0.94 else "middle"


def create_tooltip(text: str) -> Markup:
    return create_element("title", text)


def draw_rectangle(
    start: float,
    width: float,
    style: str,
    *children: Markup,
    y: str | int = 0,
    height: str = "100%",
    rx: int | None = None,
) -> Markup:
    x, wide = format_position(start), format_position(width)
    return create_element("rect", *children, x=x, width=wide, y=y, height=height, rx=rx, class_=style)


def draw_vertical_line(share: float, style: str, top: str | int = 0, bottom: str | int = "100%") -> Markup:
    x = format_position(share)
    return create_element("line", x1=x, x2=x, y1=top, y2=bottom, class_=style)


def draw_grid_line(share: float, style: str = "grid") -> Markup:
    """Draw a horizontal line; a share of 0 is the lower end."""
    y = format_position(1 - share)
    return create_element("line", x1=0, x2="100%", y1=y, y2=y, class_=style)


def draw_stretched_path(steps: str, style: str, overflow: str | None = None) -> Markup:
    """Draw a path in a square of 1000 that is stretched to the chart without its stroke width."""
    return create_element(
        "svg",
        create_element("path", d=steps, vector_effect="non-scaling-stroke", class_=style),
        viewBox="0 0 1000 1000",
        preserveAspectRatio="none",
        width="100%",
        height="100%",
        overflow=overflow,
    )


@dataclass(frozen=True)
class AxisScale:
    """An axis from `low` to `high`; a logarithmic one needs both above 0."""

    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """Return the position of a value, 0 to 1; values outside lie at an end."""
        low, high, value = (log10(max(v, 1e-12)) if self.log else v for v in (self.low, self.high, value))
        return 0.5 if high == low else min(max((value - low) / (high - low), 0.0), 1.0)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round values on the axis, at most `most` on a linear one."""
        compute = _compute_log_ticks if self.log else _compute_linear_ticks
        return compute(self.low, self.high, most)


def _compute_linear_ticks(low: float, high: float, most: int) -> list[float]:
    if high <= low:
        return [low]
    power = 10.0 ** floor(log10((high - low) / most))
    step = next(power * part for part in (1, 2, 5, 10) if (high - low) / (power * part) <= most)
    return [round(count * step, 10) for count in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def _compute_log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return 1, 2 and 5 times each power of ten, or fewer if these are too many."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    for parts in ((1, 2, 5), (1, 3), (1,)):
        found = [part * 10.0**power for power in powers for part in parts if low <= part * 10.0**power <= high]
        if len(found) <= most:
            break
    return found
