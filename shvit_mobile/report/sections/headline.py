"""The head of the page: the model, its most important numbers, and a verdict for each artifact."""

from collections import Counter
from dataclasses import dataclass

from shvit_mobile.contracts.report import ModelReport, ReportArtifact
from shvit_mobile.report.display_names import (
    describe_configuration,
    format_artifact_label,
    format_device_label,
    format_result_label,
)
from shvit_mobile.report.formatting import (
    format_decibels,
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

_STATUS_WORDS = {"passed": "passes", "failed": "fails", "measured": "compared", "unproven": "not compared"}
_KINDS = {"phone": "phone", "host": "computer"}


@dataclass(frozen=True)
class _FastestRun:
    """The fastest run of an artifact on computers, or on phones."""

    p50: float
    where: str
    fixture: bool


@dataclass(frozen=True)
class _VerdictLine:
    """An artifact in the list of verdicts."""

    label: str
    artifact: ReportArtifact
    word: str
    host: _FastestRun | None
    phone: _FastestRun | None


@dataclass(frozen=True)
class _Tile:
    """One large number."""

    name: str
    value: str
    unit: str
    note: str


def build_variables(report: ModelReport) -> dict[str, object]:
    return {
        "lines": [_build_verdict_line(report, one) for one in report.artifacts],
        "remarks": report.remarks,
    }


def format_lead(report: ModelReport) -> str:
    """Summarize the report in two or three sentences."""
    sentences = (_describe_artifacts(report), _describe_comparison(report), _describe_devices(report))
    return " ".join(filter(None, sentences))


def _describe_artifacts(report: ModelReport) -> str:
    manifests = report.manifests
    if not manifests:
        return f"{pluralize(len(report.artifacts), 'artifact')} without manifests." if report.artifacts else ""
    models = {(one.model.variant, one.model.classes, one.preprocessing.size) for one in manifests}
    names = join_words(
        [
            f"{format_model_name(v)} ({pluralize(c, 'class', 'classes') if c else 'feature maps'}, {h}×{w} pixels)"
            for v, c, (h, w) in sorted(models)
        ]
    )
    targets = join_words(list(dict.fromkeys(format_target(one.target) for one in report.artifacts if one.target)))
    return f"{names}, in {pluralize(len(report.artifacts), 'artifact')} for {targets}."


def _describe_comparison(report: ModelReport) -> str:
    """Describe how many artifacts were compared, and on how many images."""
    compared = [one for one in report.artifacts if one.drift]
    if not compared:
        return "None was compared with the float model."
    seen = sorted({one.drift.images for one in compared if one.drift})
    images = pluralize(seen[0], "image") if len(seen) == 1 else f"{seen[0]} to {pluralize(seen[-1], 'image')}"
    share = "Each was" if len(compared) == len(report.artifacts) else f"{len(compared)} of them were"
    return f"{share} run and compared with the float model on {images}."


def _describe_devices(report: ModelReport) -> str:
    measured = [one for one in report.devices if not one.fixture]
    labels = {kind: {format_device_label(one.device) for one in measured if one.device.kind == kind} for kind in _KINDS}
    kinds = [pluralize(len(found), _KINDS[kind]) for kind, found in labels.items() if found]
    return f"Latency was measured on {join_words(kinds)}." if kinds else ""


def build_tiles(report: ModelReport) -> list[_Tile]:
    """Return the numbers that readers look for first."""
    tiles = (_build_passing_tile, _build_drop_tile, _build_size_tile, _build_latency_tile)
    return [tile for build_tile in tiles if (tile := build_tile(report))]


def _build_passing_tile(report: ModelReport) -> _Tile | None:
    if not report.artifacts:
        return None
    counts = Counter(one.verdict.status for one in report.artifacts)
    judged = counts["passed"] + counts["failed"]
    if judged:
        rest = len(report.artifacts) - judged
        note = f"{rest} more without a gate" if rest else "all gates and golden checks"
        return _Tile("Artifacts that pass", str(counts["passed"]), f"of {judged}", note)
    compared = counts["measured"]
    return _Tile("Artifacts compared", str(compared), f"of {len(report.artifacts)}", "no gate was set")


def _build_drop_tile(report: ModelReport) -> _Tile | None:
    """Return the largest drop of top-1 or AP, or the lowest agreement if there are no labels."""
    rows = [(one, one.drift) for one in report.artifacts if one.drift]
    detects = any(row.boxes for _, row in rows)
    dropped = [(row.drop, one) for one, row in rows if row.drop is not None]
    if dropped:
        drop, worst = max(dropped, key=lambda found: found[0])
        name = f"Largest {'AP' if detects else 'top-1'} drop"
        return _Tile(name, format_points(drop), "points", format_artifact_label(worst))
    shares = [(row.shared_answers.value, one) for one, row in rows if row.shared_answers]
    if shares:
        share, worst = min(shares, key=lambda found: found[0])
        name = f"Lowest {'box ' if detects else ''}agreement"
        return _Tile(name, format_percent(share), "%", format_artifact_label(worst))
    if rows:
        worst, row = min(rows, key=lambda found: found[1].sqnr_db)
        return _Tile("Lowest SQNR of a map", format_decibels(row.sqnr_db), "dB", format_artifact_label(worst))
    return None


def _build_size_tile(report: ModelReport) -> _Tile | None:
    sized = [(one.size_bytes, one) for one in report.artifacts if one.size_bytes]
    if not sized:
        return None
    size, one = min(sized, key=lambda found: found[0])
    most = max(size for size, _ in sized)
    times = f", {format_number(size / most * 100, 0)}% of the largest" if most > size else ""
    return _Tile("Smallest file", format_megabytes(size), "MB", f"{format_artifact_label(one)}{times}")


def _build_latency_tile(report: ModelReport) -> _Tile | None:
    """Return the fastest median of a phone, or of a computer if there is no phone; fixtures do not count."""
    measured = [one for one in report.devices if not one.fixture]
    phones = [one for one in measured if one.device.kind == "phone"] or measured
    runs = [(result.latency.p50, one, result) for one in phones for result in one.results if result.artifact_sha256]
    if not runs:
        return None
    p50, device, result = min(runs, key=lambda run: run[0])
    where = f"{format_result_label(report, result)} on {format_device_label(device.device)}"
    return _Tile("Fastest median", format_milliseconds(p50), "ms", where)


def _build_verdict_line(report: ModelReport, one: ReportArtifact) -> _VerdictLine:
    return _VerdictLine(
        label=format_artifact_label(one),
        artifact=one,
        word=_STATUS_WORDS[one.verdict.status],
        host=_find_fastest_run(report, one, "host"),
        phone=_find_fastest_run(report, one, "phone"),
    )


def _find_fastest_run(report: ModelReport, one: ReportArtifact, kind: str) -> _FastestRun | None:
    """Return the fastest run on a kind of device; a measurement takes precedence over a fixture."""
    runs = [(report.devices[place.report], report.get_result(place)) for place in one.results]
    there = [run for run in runs if run[0].device.kind == kind]
    if not there:
        return None
    device, result = min(there, key=lambda run: (run[0].fixture, run[1].latency.p50))
    where = f"{format_device_label(device.device)}, {describe_configuration(device, result)}"
    return _FastestRun(result.latency.p50, where, device.fixture)
