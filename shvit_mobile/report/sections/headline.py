"""The headline: which model, how many of its artifacts were proven, and a line on each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.report import Joined, Report, Verdict
from shvit_mobile.report.display_names import artifact_label, configuration, device_label
from shvit_mobile.report.formatting import (
    listed,
    megabytes,
    milliseconds,
    model_name,
    number,
    percent,
    plural,
    points,
    target_name,
)
from shvit_mobile.report.sections.section import Section

WORDS = {"passed": "passes", "failed": "fails", "measured": "compared", "unproven": "unproven"}


@dataclass(frozen=True)
class Best:
    """The fastest run of an artifact on computers, or on phones."""

    p50: str
    where: str
    fixture: bool


@dataclass(frozen=True)
class Line:
    """An artifact in the list of verdicts."""

    label: str
    file: str
    verdict: Verdict
    word: str
    size: str
    host: Best | None
    phone: Best | None


@dataclass(frozen=True)
class Tile:
    """One figure, large."""

    name: str
    value: str
    unit: str
    note: str


def headline(report: Report) -> Section:
    data = {
        "lead": lead(report),
        "tiles": tiles(report),
        "lines": [line(report, one) for one in report.artifacts],
        "remarks": report.remarks,
    }
    return Section("headline", "Verdicts", "Verdicts", data)


def lead(report: Report) -> str:
    """What was proven, in two or three sentences."""
    return " ".join(filter(None, (made(report), proof(report), devices(report))))


def made(report: Report) -> str:
    manifests = report.manifests
    if not manifests:
        return f"{plural(len(report.artifacts), 'artifact')} without manifests." if report.artifacts else ""
    models = {(one.model.variant, one.model.classes, one.preprocessing.size) for one in manifests}
    told = listed(
        [f"{model_name(v)} ({plural(c, 'class', 'classes')}, {h}×{w} pixels)" for v, c, (h, w) in sorted(models)]
    )
    targets = listed(list(dict.fromkeys(target_name(one.target) for one in report.artifacts if one.target)))
    return f"{told}, in {plural(len(report.artifacts), 'artifact')} for {targets}."


def proof(report: Report) -> str:
    """How many were compared, and on what."""
    compared = [one for one in report.artifacts if one.drift]
    if not compared:
        return "None was compared with its float model."
    seen = sorted({one.drift.images for one in compared if one.drift})
    images = plural(seen[0], "image") if len(seen) == 1 else f"{seen[0]} to {plural(seen[-1], 'image')}"
    share = "Each was" if len(compared) == len(report.artifacts) else f"{len(compared)} of them were"
    return f"{share} executed and compared with the float model on {images}."


def devices(report: Report) -> str:
    measured = [one for one in report.devices if not one.fixture]
    phones = {device_label(one.device) for one in measured if one.device.kind == "phone"}
    hosts = {device_label(one.device) for one in measured if one.device.kind == "host"}
    told = [plural(len(phones), "phone")] * bool(phones) + [plural(len(hosts), "computer")] * bool(hosts)
    return f"Latency was measured on {listed(told)}." if told else ""


def tiles(report: Report) -> list[Tile]:
    """The figures a reader looks for first."""
    return list(filter(None, (passing(report), largest_drop(report), smallest(report), fastest(report))))


def passing(report: Report) -> Tile | None:
    if not report.artifacts:
        return None
    counts = Counter(one.verdict.status for one in report.artifacts)
    judged = counts["passed"] + counts["failed"]
    if judged:
        rest = len(report.artifacts) - judged
        note = (
            f"{plural(rest, 'more')} without a gate".replace("mores", "more") if rest else "every gate and golden check"
        )
        return Tile("Artifacts that pass", str(counts["passed"]), f"of {judged}", note)
    compared = counts["measured"]
    return Tile("Artifacts compared", str(compared), f"of {len(report.artifacts)}", "no gate was set")


def largest_drop(report: Report) -> Tile | None:
    """The most top-1 that an artifact loses; without labels the least agreement."""
    rows = [(one, one.drift) for one in report.artifacts if one.drift]
    dropped = [(row.top1_drop, one) for one, row in rows if row.top1_drop is not None]
    if dropped:
        drop, worst = max(dropped, key=lambda found: found[0])
        return Tile("Largest drop of top-1", points(drop), "points", artifact_label(worst))
    if rows:
        one, row = min(rows, key=lambda found: found[1].agreement.value)
        return Tile("Least agreement", percent(row.agreement.value), "%", artifact_label(one))
    return None


def smallest(report: Report) -> Tile | None:
    sized = [(one.size_bytes, one) for one in report.artifacts if one.size_bytes]
    if not sized:
        return None
    size, one = min(sized, key=lambda found: found[0])
    most = max(size for size, _ in sized)
    times = f", {number(size / most * 100, 0)}% of the largest" if most > size else ""
    return Tile("Smallest file", megabytes(size), "MB", f"{artifact_label(one)}{times}")


def fastest(report: Report) -> Tile | None:
    """Of phones that were measured, else of computers; a fixture never stands here."""
    measured = [one for one in report.devices if not one.fixture]
    phones = [one for one in measured if one.device.kind == "phone"] or measured
    runs = [(result.latency.p50, one, result) for one in phones for result in one.results if result.artifact_sha256]
    if not runs:
        return None
    p50, device, result = min(runs, key=lambda run: run[0])
    known = report.artifact(result.artifact_sha256)
    where = f"{artifact_label(known) if known else result.name} on {device_label(device.device)}"
    return Tile("Fastest median", milliseconds(p50), "ms", where)


def line(report: Report, one: Joined) -> Line:
    return Line(
        label=artifact_label(one),
        file=one.name,
        verdict=one.verdict,
        word=WORDS[one.verdict.status],
        size=megabytes(one.size_bytes),
        host=best(report, one, "host"),
        phone=best(report, one, "phone"),
    )


def best(report: Report, one: Joined, kind: str) -> Best | None:
    """The fastest run on a kind of device; one that was measured goes before a fixture."""
    runs = [(report.devices[place.report], report.result(place)) for place in one.results]
    there = [run for run in runs if run[0].device.kind == kind]
    if not there:
        return None
    device, result = min(there, key=lambda run: (run[0].fixture, run[1].latency.p50))
    return Best(milliseconds(result.latency.p50), described(device, configuration(device, result)), device.fixture)


def described(device: DeviceReport, setting: str) -> str:
    return f"{device_label(device.device)}, {setting}"
