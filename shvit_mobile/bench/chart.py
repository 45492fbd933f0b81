"""Draws latencies as one SVG file: a bar to the median of each contestant, a line to its highest percentile."""

from html import escape
from math import floor, log10

from shvit_mobile.contracts.device_report import DeviceReport, DeviceResult

WIDTH, LABEL_WIDTH, FIGURE_WIDTH, ROW_HEIGHT, TOP_MARGIN, BOTTOM_MARGIN = 860, 270, 150, 30, 64, 44
# For int8 and for other precisions, readable on white and on black.
INT8_COLOR, FLOAT_COLOR = "#2a9d8f", "#8d99ae"
_STYLE = """text { font: 13px system-ui, sans-serif; fill: #222 } .title { font-weight: 600; font-size: 15px }
.faint { fill: #666 } .grid { stroke: #ddd } .line { stroke: #222; stroke-width: 1.5 } .page { fill: #fff }
@media (prefers-color-scheme: dark) { text { fill: #eee } .faint { fill: #aaa } .grid { stroke: #444 }
.line { stroke: #eee } .page { fill: #16181d } }"""


def render_latency_chart(report: DeviceReport) -> str:
    """Return the chart of a report, for light and dark pages."""
    results = report.results
    height = TOP_MARGIN + ROW_HEIGHT * len(results) + BOTTOM_MARGIN
    most = max(result.latency.tail for result in results)
    step = choose_tick_step(most)
    scale = (WIDTH - LABEL_WIDTH - FIGURE_WIDTH) / most
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Latencies">',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="16" y="26">Milliseconds per inference, {escape(_format_conditions(report))}</text>',
        f'<text class="faint" x="16" y="46">{escape(report.device.model)}: bar to the median, line to '
        f"{_format_tails(report)}</text>",
    ]
    value = 0.0
    while value <= most:
        x = LABEL_WIDTH + value * scale
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP_MARGIN - 6}" y2="{height - BOTTOM_MARGIN + 6}"/>'
        )
        parts.append(
            f'<text class="faint" x="{x:.1f}" y="{height - BOTTOM_MARGIN + 24}" text-anchor="middle">{value:g}</text>'
        )
        value = round(value + step, 9)
    for index, result in enumerate(results):
        parts += _draw_row(result, TOP_MARGIN + ROW_HEIGHT * index, scale)
    return "\n".join([*parts, "</svg>", ""])


def _draw_row(result: DeviceResult, top: float, scale: float) -> list[str]:
    latency, middle = result.latency, top + ROW_HEIGHT / 2
    color = INT8_COLOR if result.precision.startswith("int8") else FLOAT_COLOR
    ratio = "" if result.ratio is None else f" · {result.ratio.value:.2f}×"
    end = LABEL_WIDTH + latency.tail * scale
    return [
        f'<text x="{LABEL_WIDTH - 8}" y="{middle + 4}" text-anchor="end">{escape(_shorten_name(result.name))}</text>',
        f'<rect x="{LABEL_WIDTH}" y="{top + 6}" width="{latency.p50 * scale:.1f}" height="{ROW_HEIGHT - 12}" rx="2" '
        f'fill="{color}"/>',
        f'<line class="line" x1="{LABEL_WIDTH + latency.p50 * scale:.1f}" x2="{end:.1f}" y1="{middle}" y2="{middle}"/>',
        f'<text x="{end + 8:.1f}" y="{middle + 4}">{latency.p50:.2f}{ratio}</text>',
    ]


def _format_conditions(report: DeviceReport) -> str:
    return f"{report.settings.threads_text}, batch {report.settings.batch}"


def _format_tails(report: DeviceReport) -> str:
    """Return the percentiles at which the lines end: contestants may have other numbers of samples."""
    return " or ".join(dict.fromkeys(result.latency.tail_name for result in report.results))


def _shorten_name(name: str, most: int = 38) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def choose_tick_step(most: float) -> float:
    """Return a round step that divides `most` into four to ten parts."""
    power = 10.0 ** floor(log10(most))
    return next(power * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if most / (power * part) <= 10)
