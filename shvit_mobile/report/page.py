"""Renders a report as one HTML page that needs no other file."""

from collections.abc import Callable
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.formatting import pluralize
from shvit_mobile.report.sections.changes import build_changes_section
from shvit_mobile.report.sections.contents import build_contents_section
from shvit_mobile.report.sections.goldens import build_goldens_section
from shvit_mobile.report.sections.headline import build_headline_section, build_tiles, format_lead
from shvit_mobile.report.sections.heat import build_heat_section
from shvit_mobile.report.sections.ladder import build_ladder_section
from shvit_mobile.report.sections.latency import build_latency_section
from shvit_mobile.report.sections.layers import build_layers_section
from shvit_mobile.report.sections.placement import build_placement_section
from shvit_mobile.report.sections.provenance import build_provenance_section
from shvit_mobile.report.sections.ranges import build_ranges_section
from shvit_mobile.report.sections.section import PageSection
from shvit_mobile.report.sections.sensitivity import build_sensitivity_section
from shvit_mobile.report.sections.tradeoffs import build_tradeoffs_section

# In the order of the page: first drift, then speed, then contents.
SECTIONS: tuple[Callable[[ModelReport], PageSection | None], ...] = (
    build_headline_section,
    build_ladder_section,
    build_changes_section,
    build_layers_section,
    build_ranges_section,
    build_sensitivity_section,
    build_tradeoffs_section,
    build_latency_section,
    build_heat_section,
    build_placement_section,
    build_goldens_section,
    build_contents_section,
    build_provenance_section,
)


def render_page(report: ModelReport) -> str:
    """Render the page. Every text is escaped, because names come from files that anyone may write."""
    environment = Environment(
        loader=PackageLoader("shvit_mobile.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found = [section for make in SECTIONS if (section := make(report))]
    rendered = [(one, Markup(environment.get_template(f"{one.name}.html").render(one.data))) for one in found]
    return environment.get_template("page.html").render(
        report=report,
        fixtures=_describe_fixtures(report),
        lead=format_lead(report),
        tiles=build_tiles(report),
        sections=rendered,
        made_with=f"shvit-mobile {version('shvit-mobile')}",
    )


def _describe_fixtures(report: ModelReport) -> str:
    """Describe how many device reports are fixtures; empty if none is."""
    made_up = sum(device.fixture for device in report.devices)
    if not made_up:
        return ""
    are = "is a fixture" if made_up == 1 else "are fixtures"
    return f"{made_up} of {pluralize(len(report.devices), 'device report')} {are}."
