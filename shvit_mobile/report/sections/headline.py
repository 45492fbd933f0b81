"""The headline: which model, how many of its artifacts were proven, and a line on each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.report import ArtifactVerdict, ModelReport, ReportArtifact
from shvit_mobile.report.display_names import describe_configuration, format_artifact_label, format_device_label
from shvit_mobile.report.formatting import (
    format_megabytes,
    format_milliseconds,
    format_model_name,
    format_number,
    format_percent,
    format_points,
    format_target,
    join_words,
    pluralize,
)
from shvit_mobile.report.sections.section import PageSection

STATUS_WORDS = {"passed": "passes", "failed": "fails", "measured": "compared", "unproven": "unproven"}


@dataclass(frozen=True)
class FastestRun:
    """The fastest run of an artifact on computers, or on phones."""

    p50: str
    where: str
    fixture: bool


@dataclass(frozen=True)
class VerdictLine:
    """An artifact in the list of verdicts."""

    label: str
    file: str
    verdict: ArtifactVerdict
    word: str
    size: str
    host: FastestRun | None
    phone: FastestRun | None


@dataclass(frozen=True)
class Tile:
    """One figure, large."""

    name: str
    value: str
    unit: str
    note: str


def build_headline_section(report: ModelReport) -> PageSection:
    data = {
        "lead": format_lead(report),
        "tiles": build_tiles(report),
        "lines": [build_verdict_line(report, one) for one in report.artifacts],
        "remarks": report.remarks,
    }
    return PageSection("headline", "Verdicts", "Verdicts", data)


def format_lead(report: ModelReport) -> str:
    """What was proven, in two or three sentences."""
    return " ".join(filter(None, (describe_artifacts(report), describe_comparison(report), describe_devices(report))))


def describe_artifacts(report: ModelReport) -> str:
    manifests = report.manifests
    if not manifests:
        return f"{pluralize(len(report.artifacts), 'artifact')} without manifests." if report.artifacts else ""
    models = {(one.model.variant, one.model.classes, one.preprocessing.size) for one in manifests}
    told = join_words(
        [
            f"{format_model_name(v)} ({pluralize(c, 'class', 'classes')}, {h}×{w} pixels)"
            for v, c, (h, w) in sorted(models)
        ]
    )
    targets = join_words(list(dict.fromkeys(format_target(one.target) for one in report.artifacts if one.target)))
    return f"{told}, in {pluralize(len(report.artifacts), 'artifact')} for {targets}."


def describe_comparison(report: ModelReport) -> str:
    """How many were compared, and on what."""
    compared = [one for one in report.artifacts if one.drift]
    if not compared:
        return "None was compared with its float model."
    seen = sorted({one.drift.images for one in compared if one.drift})
    images = pluralize(seen[0], "image") if len(seen) == 1 else f"{seen[0]} to {pluralize(seen[-1], 'image')}"
    share = "Each was" if len(compared) == len(report.artifacts) else f"{len(compared)} of them were"
    return f"{share} executed and compared with the float model on {images}."


def describe_devices(report: ModelReport) -> str:
    measured = [one for one in report.devices if not one.fixture]
    phones = {format_device_label(one.device) for one in measured if one.device.kind == "phone"}
    hosts = {format_device_label(one.device) for one in measured if one.device.kind == "host"}
    told = [pluralize(len(phones), "phone")] * bool(phones) + [pluralize(len(hosts), "computer")] * bool(hosts)
    return f"Latency was measured on {join_words(told)}." if told else ""


def build_tiles(report: ModelReport) -> list[Tile]:
    """The figures a reader looks for first."""
    return list(
        filter(
            None,
            (build_passing_tile(report), build_drop_tile(report), build_size_tile(report), build_latency_tile(report)),
        )
    )


def build_passing_tile(report: ModelReport) -> Tile | None:
    if not report.artifacts:
        return None
    counts = Counter(one.verdict.status for one in report.artifacts)
    judged = counts["passed"] + counts["failed"]
    if judged:
        rest = len(report.artifacts) - judged
        note = (
            f"{pluralize(rest, 'more')} without a gate".replace("mores", "more")
            if rest
            else "every gate and golden check"
        )
        return Tile("Artifacts that pass", str(counts["passed"]), f"of {judged}", note)
    compared = counts["measured"]
    return Tile("Artifacts compared", str(compared), f"of {len(report.artifacts)}", "no gate was set")


def build_drop_tile(report: ModelReport) -> Tile | None:
    """The most top-1 that an artifact loses; without labels the least agreement."""
    rows = [(one, one.drift) for one in report.artifacts if one.drift]
    dropped = [(row.top1_drop, one) for one, row in rows if row.top1_drop is not None]
    if dropped:
        drop, worst = max(dropped, key=lambda found: found[0])
        return Tile("Largest drop of top-1", format_points(drop), "points", format_artifact_label(worst))
    if rows:
        one, row = min(rows, key=lambda found: found[1].agreement.value)
        return Tile("Least agreement", format_percent(row.agreement.value), "%", format_artifact_label(one))
    return None


def build_size_tile(report: ModelReport) -> Tile | None:
    sized = [(one.size_bytes, one) for one in report.artifacts if one.size_bytes]
    if not sized:
        return None
    size, one = min(sized, key=lambda found: found[0])
    most = max(size for size, _ in sized)
    times = f", {format_number(size / most * 100, 0)}% of the largest" if most > size else ""
    return Tile("Smallest file", format_megabytes(size), "MB", f"{format_artifact_label(one)}{times}")


def build_latency_tile(report: ModelReport) -> Tile | None:
    """Of phones that were measured, else of computers; a fixture never stands here."""
    measured = [one for one in report.devices if not one.fixture]
    phones = [one for one in measured if one.device.kind == "phone"] or measured
    runs = [(result.latency.p50, one, result) for one in phones for result in one.results if result.artifact_sha256]
    if not runs:
        return None
    p50, device, result = min(runs, key=lambda run: run[0])
    known = report.artifact(result.artifact_sha256)
    where = f"{format_artifact_label(known) if known else result.name} on {format_device_label(device.device)}"
    return Tile("Fastest median", format_milliseconds(p50), "ms", where)


def build_verdict_line(report: ModelReport, one: ReportArtifact) -> VerdictLine:
    return VerdictLine(
        label=format_artifact_label(one),
        file=one.name,
        verdict=one.verdict,
        word=STATUS_WORDS[one.verdict.status],
        size=format_megabytes(one.size_bytes),
        host=find_fastest_run(report, one, "host"),
        phone=find_fastest_run(report, one, "phone"),
    )


def find_fastest_run(report: ModelReport, one: ReportArtifact, kind: str) -> FastestRun | None:
    """The fastest run on a kind of device; one that was measured goes before a fixture."""
    runs = [(report.devices[place.report], report.result(place)) for place in one.results]
    there = [run for run in runs if run[0].device.kind == kind]
    if not there:
        return None
    device, result = min(there, key=lambda run: (run[0].fixture, run[1].latency.p50))
    return FastestRun(
        format_milliseconds(result.latency.p50),
        format_run_label(device, describe_configuration(device, result)),
        device.fixture,
    )


def format_run_label(device: DeviceReport, setting: str) -> str:
    return f"{format_device_label(device.device)}, {setting}"
