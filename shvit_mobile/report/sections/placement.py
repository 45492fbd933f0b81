"""The section on placement: the processor of each operator in Core ML's compute plan."""

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.charts.cells import draw_stacked_bar
from shvit_mobile.report.display_names import describe_configuration, format_device_label, format_result_label
from shvit_mobile.report.formatting import find_rank, format_thousands, join_words, pluralize

_PROCESSORS = {"cpu": "CPU", "gpu": "GPU", "neural-engine": "Neural Engine"}
_PROCESSOR_COLORS = {"cpu": "c4", "gpu": "c2", "neural-engine": "c1"}
# Operators by processor.
OperatorCounts = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class _PlacementPlan:
    """One plan, and the devices that have it."""

    setting: str
    devices: str
    graphic: Markup
    words: str


@dataclass(frozen=True)
class _ArtifactPlacement:
    """The plans of one artifact; those of fixtures are separate."""

    label: str
    fixture: bool
    plans: tuple[_PlacementPlan, ...]


def build_variables(report: ModelReport) -> dict[str, object] | None:
    found: dict[tuple[str, bool], dict[tuple[str, OperatorCounts], list[str]]] = {}
    for device in report.devices:
        for result in device.results:
            if result.placement:
                plans = found.setdefault((format_result_label(report, result), device.fixture), {})
                plan = describe_configuration(device, result), _order_counts(result.placement)
                plans.setdefault(plan, []).append(format_device_label(device.device))
    if not found:
        return None
    return {
        "artifacts": [
            _ArtifactPlacement(label, fixture, _build_plans(plans)) for (label, fixture), plans in found.items()
        ],
        "legend": [(_PROCESSOR_COLORS[name], label) for name, label in _PROCESSORS.items()],
    }


def _order_counts(placement: Mapping[str, int]) -> OperatorCounts:
    """Order counts by processor: CPU, GPU, Neural Engine, others."""
    return tuple(sorted(placement.items(), key=lambda item: (find_rank(item[0], tuple(_PROCESSORS)), item[0])))


def _build_plans(plans: Mapping[tuple[str, OperatorCounts], list[str]]) -> tuple[_PlacementPlan, ...]:
    return tuple(
        _PlacementPlan(
            setting,
            join_words(list(dict.fromkeys(devices))),
            _draw_placement_bar(counts),
            _format_counts(counts),
        )
        for (setting, counts), devices in plans.items()
    )


def _draw_placement_bar(counts: OperatorCounts) -> Markup:
    parts = {
        f"{_format_processor(name)}: {pluralize(count, 'operator')}": (float(count), _PROCESSOR_COLORS.get(name, "c5"))
        for name, count in counts
    }
    return draw_stacked_bar(parts, sum(count for _, count in counts), _format_counts(counts))


def _format_counts(counts: OperatorCounts) -> str:
    return ", ".join(f"{_format_processor(name)} {format_thousands(count)}" for name, count in counts)


def _format_processor(processor: str) -> str:
    return _PROCESSORS.get(processor, processor)
