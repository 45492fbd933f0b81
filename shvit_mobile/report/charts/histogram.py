"""How often each latency came, on an axis that all rows share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from shvit_mobile.bench.statistics import Latency
from shvit_mobile.report.charts.svg import Scale, at, element, picture

BINS = 120


def histogram(samples: Sequence[float], latency: Latency, scale: Scale, *, made_up: bool, label: str) -> Markup:
    """Bars as high as their share of the row's highest, and lines at p50, p90 and p99."""
    counts = Counter(min(int(BINS * scale.share(sample)), BINS - 1) for sample in samples)
    most = max(counts.values(), default=1)
    bars = [
        element(
            "rect",
            x=at(place / BINS),
            width=at(1 / BINS),
            y=at(1 - count / most),
            height=at(count / most),
            class_="bar made-up" if made_up else "bar",
        )
        for place, count in sorted(counts.items())
    ]
    lines = [
        element("line", x1=at(scale.share(value)), x2=at(scale.share(value)), y1=top, y2="100%", class_=f"mark {name}")
        for name, value, top in (("p99", latency.p99, "60%"), ("p90", latency.p90, "40%"), ("p50", latency.p50, "0"))
    ]
    return picture(*bars, *lines, kind="histogram", label=label)
