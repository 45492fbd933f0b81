"""Finds the artifacts that no other dominates in drift and size, or drift and latency; less is better in all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isnan

from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.report import DominatedArtifact, DriftMetric, ParetoFront, ReportArtifact

Objectives = tuple[float, float]
# The distance of an artifact from its float model, smaller is better; None if it is unknown.
DISTANCES: dict[DriftMetric, Callable[[DriftRow], float | None]] = {
    "drop": lambda row: row.top1_drop,
    "agreement": lambda row: None if row.agreement is None else 1 - row.agreement.value,
    "sqnr_db": lambda row: -row.sqnr_db,
}


def build_pareto_fronts(
    artifacts: Sequence[ReportArtifact], devices: Sequence[DeviceReport]
) -> tuple[ParetoFront, ...]:
    """Build the fronts of each drift metric against size, and against latency on each device."""
    sizes = {one.sha256: float(one.size_bytes) for one in artifacts if one.size_bytes is not None}
    found: list[ParetoFront] = []
    for drift in DISTANCES:
        found += _build_pareto_front(artifacts, drift, sizes, device=None)
        for number, device in enumerate(devices):
            found += _build_pareto_front(artifacts, drift, find_fastest_latencies(device), device=number)
    return tuple(found)


def _build_pareto_front(
    artifacts: Sequence[ReportArtifact], drift: DriftMetric, costs: Mapping[str, float], *, device: int | None
) -> Iterator[ParetoFront]:
    """Build the front of artifacts with known drift and cost, if there are at least two."""
    known = {
        one.sha256: (costs[one.sha256], distance)
        for one in artifacts
        if one.drift and one.sha256 in costs and (distance := DISTANCES[drift](one.drift)) is not None
        if not isnan(distance)
    }
    if len(known) < 2:
        return
    names = list(known)
    by = dict(zip(names, find_dominators(list(known.values())), strict=True))
    yield ParetoFront(
        drift=drift,
        cost="bytes" if device is None else "latency",
        device=device,
        best=tuple(sorted((name for name in names if by[name] is None), key=lambda name: known[name])),
        beaten=tuple(
            DominatedArtifact(sha256=name, by=names[place]) for name, place in by.items() if place is not None
        ),
    )


def find_fastest_latencies(device: DeviceReport) -> dict[str, float]:
    """Return the median of each artifact's fastest setting on a device, in ms, by SHA-256."""
    times: dict[str, float] = {}
    for result in device.results:
        if result.artifact_sha256:
            p50 = result.latency.p50
            times[result.artifact_sha256] = min(p50, times.get(result.artifact_sha256, p50))
    return times


def dominates(one: Objectives, other: Objectives) -> bool:
    """Whether `one` is nowhere worse than `other`, and better somewhere."""
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def find_dominators(values: Sequence[Objectives]) -> list[int | None]:
    """Return, for each pair, the position of the smallest pair that dominates it; None if it is on the Pareto front.

    The smallest dominator is on the front itself.
    """
    return [
        min(
            (place for place, other in enumerate(values) if dominates(other, one)),
            key=lambda place: values[place],
            default=None,
        )
        for one in values
    ]


def find_pareto_front(values: Sequence[Objectives]) -> list[int]:
    """Return the positions of the pairs that no other dominates, the smallest first."""
    front = [place for place, dominator in enumerate(find_dominators(values)) if dominator is None]
    return sorted(front, key=lambda place: values[place])
