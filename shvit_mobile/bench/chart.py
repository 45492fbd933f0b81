"""A chart of latencies as one SVG file: a bar to the median of each contestant, a line on to its 99th percentile."""

from __future__ import annotations

from html import escape
from math import floor, log10

from shvit_mobile.contracts.device_report import DeviceReport, Result

WIDTH, LABELS, FIGURES, ROW, TOP, BOTTOM = 860, 270, 150, 30, 64, 44
# One colour for what is int8 and one for what is not, readable on white and on black.
INT8, FLOAT = "#2a9d8f", "#8d99ae"
STYLE = """text { font: 13px system-ui, sans-serif; fill: #222 } .title { font-weight: 600; font-size: 15px }
.faint { fill: #666 } .grid { stroke: #ddd } .line { stroke: #222; stroke-width: 1.5 } .page { fill: #fff }
@media (prefers-color-scheme: dark) { text { fill: #eee } .faint { fill: #aaa } .grid { stroke: #444 }
.line { stroke: #eee } .page { fill: #16181d } }"""


def svg(report: DeviceReport) -> str:
    """The chart of a report: readable alone, in light and in dark."""
    results = report.results
    height = TOP + ROW * len(results) + BOTTOM
    most = max(result.latency.p99 for result in results)
    step = tick(most)
    scale = (WIDTH - LABELS - FIGURES) / most
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Latencies">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="16" y="26">Milliseconds an inference, {escape(conditions(report))}</text>',
        f'<text class="faint" x="16" y="46">{escape(report.device.model)}: bar to the median, line to p99</text>',
    ]
    value = 0.0
    while value <= most:
        x = LABELS + value * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - BOTTOM + 6}"/>')
        parts.append(
            f'<text class="faint" x="{x:.1f}" y="{height - BOTTOM + 24}" text-anchor="middle">{value:g}</text>'
        )
        value = round(value + step, 9)
    for index, result in enumerate(results):
        parts += row(result, TOP + ROW * index, scale)
    return "\n".join([*parts, "</svg>", ""])


def row(result: Result, top: float, scale: float) -> list[str]:
    latency, middle = result.latency, top + ROW / 2
    colour = INT8 if result.precision.startswith("int8") else FLOAT
    faster = "" if result.ratio is None else f" · {result.ratio.value:.2f}×"
    return [
        f'<text x="{LABELS - 8}" y="{middle + 4}" text-anchor="end">{escape(shortened(result.name))}</text>',
        f'<rect x="{LABELS}" y="{top + 6}" width="{latency.p50 * scale:.1f}" height="{ROW - 12}" rx="2" '
        f'fill="{colour}"/>',
        f'<line class="line" x1="{LABELS + latency.p50 * scale:.1f}" x2="{LABELS + latency.p99 * scale:.1f}" '
        f'y1="{middle}" y2="{middle}"/>',
        f'<text x="{LABELS + latency.p99 * scale + 8:.1f}" y="{middle + 4}">{latency.p50:.2f}{faster}</text>',
    ]


def conditions(report: DeviceReport) -> str:
    return f"{report.settings.threads_in_words}, batch {report.settings.batch}"


def shortened(name: str, most: int = 38) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def tick(most: float) -> float:
    """A round step that divides `most` into four to ten parts."""
    power = 10.0 ** floor(log10(most))
    return next(power * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if most / (power * part) <= 10)
