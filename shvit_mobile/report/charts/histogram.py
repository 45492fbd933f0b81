"""Draws histograms of latencies on a shared axis."""

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from shvit_mobile.contracts.device_report import LatencySummary
from shvit_mobile.report.charts.svg import AxisScale, create_chart, create_element, format_position

_BINS = 100
# The base of the bars, and the position of the percentiles below them.
FLOOR, MIDDLE = 0.7, 0.86


def draw_histogram(
    samples: Sequence[float], latency: LatencySummary, scale: AxisScale, *, made_up: bool, label: str
) -> Markup:
    """Draw bars relative to the highest; below them a dot at p50, and a line to p90 and p99."""
    counts = Counter(min(int(_BINS * scale.share(sample)), _BINS - 1) for sample in samples)
    most = max(counts.values(), default=1)
    bars = [
        create_element(
            "rect",
            x=format_position(place / _BINS),
            width=format_position(1 / _BINS),
            y=format_position(FLOOR * (1 - count / most)),
            height=format_position(FLOOR * count / most),
            class_="bar made-up" if made_up else "bar",
        )
        for place, count in sorted(counts.items())
    ]
    p50, p90, p99 = (format_position(scale.share(value)) for value in (latency.p50, latency.p90, latency.p99))
    return create_chart(
        *bars,
        create_element("line", x1=0, x2="100%", y1=format_position(FLOOR), y2=format_position(FLOOR), class_="grid"),
        create_element(
            "line", x1=p50, x2=p99, y1=format_position(MIDDLE), y2=format_position(MIDDLE), class_="interval"
        ),
        *(
            create_element(
                "line",
                x1=x,
                x2=x,
                y1=format_position(MIDDLE - 0.1),
                y2=format_position(MIDDLE + 0.1),
                class_="interval",
            )
            for x in (p90, p99)
        ),
        create_element("circle", cx=p50, cy=format_position(MIDDLE), r=3.5, class_="dot"),
        kind="histogram",
        label=label,
    )
