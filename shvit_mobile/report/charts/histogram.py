"""How often each latency came, on an axis that all rows share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from shvit_mobile.contracts.device_report import Latency
from shvit_mobile.report.charts.svg import Scale, at, element, picture

BINS = 100
# Bars stand here; below them is room for the percentiles.
FLOOR, MIDDLE = 0.7, 0.86


def histogram(samples: Sequence[float], latency: Latency, scale: Scale, *, made_up: bool, label: str) -> Markup:
    """Bars as high as their share of the row's highest; below them a dot at p50, and a line to p90 and p99."""
    counts = Counter(min(int(BINS * scale.share(sample)), BINS - 1) for sample in samples)
    most = max(counts.values(), default=1)
    bars = [
        element(
            "rect",
            x=at(place / BINS),
            width=at(1 / BINS),
            y=at(FLOOR * (1 - count / most)),
            height=at(FLOOR * count / most),
            class_="bar made-up" if made_up else "bar",
        )
        for place, count in sorted(counts.items())
    ]
    p50, p90, p99 = (at(scale.share(value)) for value in (latency.p50, latency.p90, latency.p99))
    return picture(
        *bars,
        element("line", x1=0, x2="100%", y1=at(FLOOR), y2=at(FLOOR), class_="grid"),
        element("line", x1=p50, x2=p99, y1=at(MIDDLE), y2=at(MIDDLE), class_="interval"),
        *(element("line", x1=x, x2=x, y1=at(MIDDLE - 0.1), y2=at(MIDDLE + 0.1), class_="interval") for x in (p90, p99)),
        element("circle", cx=p50, cy=at(MIDDLE), r=3.5, class_="dot"),
        kind="histogram",
        label=label,
    )
