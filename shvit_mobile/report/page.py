"""Renders a report as one HTML page that needs no other file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report import formatting
from shvit_mobile.report.sections import (
    changes,
    contents,
    goldens,
    headline,
    heat,
    instructions,
    ladder,
    latency,
    layers,
    placement,
    provenance,
    ranges,
    sensitivity,
    tradeoffs,
)
from shvit_mobile.report.thumbnails import to_data_url
from shvit_mobile.versions import VERSION


@dataclass(frozen=True)
class _PageSection:
    """A part of the page.

    Attributes:
        name: The name of its template and of its anchor.
        title: Its heading; short: Its name in the list of contents.
        build_variables: Returns the variables of its template; None leaves the section out.
    """

    name: str
    title: str
    short: str
    build_variables: Callable[[ModelReport], Mapping[str, object] | None]


# In the order of the page: first drift, then speed, then contents.
SECTIONS = (
    _PageSection("headline", "Verdicts", "Verdicts", headline.build_variables),
    _PageSection("ladder", "Drift ladder", "Drift", ladder.build_variables),
    _PageSection("changes", "Changed predictions", "Changes", changes.build_variables),
    _PageSection("layers", "Drift of each layer", "Layers", layers.build_variables),
    _PageSection("ranges", "Range of values in fp16", "fp16 range", ranges.build_variables),
    _PageSection("sensitivity", "Sensitivity to int8", "Sensitivity", sensitivity.build_variables),
    _PageSection("tradeoffs", "Accuracy, size and latency", "Trade-offs", tradeoffs.build_variables),
    _PageSection("latency", "Latency", "Latency", latency.build_variables),
    _PageSection("instructions", "Instructions on phone CPUs", "Instructions", instructions.build_variables),
    _PageSection("heat", "Heat and sustained load", "Heat", heat.build_variables),
    _PageSection("placement", "Operators by processor", "Placement", placement.build_variables),
    _PageSection("goldens", "Golden checks on devices", "Goldens", goldens.build_variables),
    _PageSection("contents", "Contents of the artifacts", "Contents", contents.build_variables),
    _PageSection("provenance", "Provenance", "Provenance", provenance.build_variables),
)
# How templates write the numbers and thumbnails of documents.
_FILTERS: dict[str, Callable[..., object]] = {
    "decibels": formatting.format_decibels,
    "megabytes": formatting.format_megabytes,
    "milliseconds": formatting.format_milliseconds,
    "number": formatting.format_number,
    "percent": formatting.format_percent,
    "points": formatting.format_points,
    "significant": formatting.format_significant,
    "data_url": to_data_url,
}


def render_page(report: ModelReport) -> str:
    """Render the page. Every text is escaped, because names come from files that anyone may write."""
    environment = Environment(
        loader=PackageLoader("shvit_mobile.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= _FILTERS
    rendered = [
        (section, Markup(environment.get_template(f"{section.name}.html").render(variables)))
        for section in SECTIONS
        if (variables := section.build_variables(report)) is not None
    ]
    return environment.get_template("page.html").render(
        report=report,
        fixtures=_describe_fixtures(report),
        lead=headline.format_lead(report),
        tiles=headline.build_tiles(report),
        sections=rendered,
        made_with=f"shvit-mobile {VERSION}",
    )


def _describe_fixtures(report: ModelReport) -> str:
    """Describe how many device reports are fixtures; empty if none is."""
    made_up = sum(device.fixture for device in report.devices)
    if not made_up:
        return ""
    are = "is a fixture" if made_up == 1 else "are fixtures"
    return f"{made_up} of {formatting.pluralize(len(report.devices), 'device report')} {are}."
