"""The page: one HTML file that needs nothing else, written from a report."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from shvit_mobile.contracts.report import Report
from shvit_mobile.report.formatting import plural
from shvit_mobile.report.sections.changes import changes
from shvit_mobile.report.sections.contents import contents
from shvit_mobile.report.sections.goldens import goldens
from shvit_mobile.report.sections.headline import headline, lead, tiles
from shvit_mobile.report.sections.heat import heat
from shvit_mobile.report.sections.ladder import ladder
from shvit_mobile.report.sections.latency import latency
from shvit_mobile.report.sections.layers import layers
from shvit_mobile.report.sections.placement import placement
from shvit_mobile.report.sections.provenance import provenance
from shvit_mobile.report.sections.ranges import ranges
from shvit_mobile.report.sections.section import Section
from shvit_mobile.report.sections.sensitivity import sensitivity
from shvit_mobile.report.sections.tradeoffs import tradeoffs

# In the order of the page: first what was proven, then how fast it is, then what it is made of.
SECTIONS: tuple[Callable[[Report], Section | None], ...] = (
    headline,
    ladder,
    changes,
    layers,
    ranges,
    sensitivity,
    tradeoffs,
    latency,
    heat,
    placement,
    goldens,
    contents,
    provenance,
)


def page(report: Report) -> str:
    """The whole page. Every text in it is escaped: names come out of files that anyone may have made."""
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
        fixtures=fixtures(report),
        lead=lead(report),
        tiles=tiles(report),
        sections=rendered,
        made_with=f"shvit-mobile {version('shvit-mobile')}",
    )


def fixtures(report: Report) -> str:
    """How much of it was never measured; empty where all was."""
    made_up = sum(device.fixture for device in report.devices)
    if not made_up:
        return ""
    are = "is a fixture" if made_up == 1 else "are fixtures"
    return f"{made_up} of {plural(len(report.devices), 'device report')} {are}."
