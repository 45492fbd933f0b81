"""What a layer costs in float rather than in int8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shvit_mobile.contracts.budget_search import LayerCosts, LayerLatency
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.sensitivity import SensitivityReport
from shvit_mobile.errors import InvalidConfig

# Of a weight that a target keeps in float. In int8 it is one byte.
FLOAT_BYTES: dict[Target, int] = {"coreml": 2, "executorch": 4, "onnx": 4}


def compute_byte_costs(sensitivity: SensitivityReport, target: Target) -> LayerCosts:
    """What weights take more in float on a target: three bytes an element, one where float is fp16."""
    more = FLOAT_BYTES[target] - 1
    return LayerCosts(of="bytes", layers={row.layer: float(more * row.weights) for row in sensitivity.layers})


def compute_mac_costs(sensitivity: SensitivityReport) -> LayerCosts:
    """Multiply-adds."""
    return LayerCosts(of="macs", layers={row.layer: float(row.macs) for row in sensitivity.layers})


def compute_latency_costs(sensitivity: SensitivityReport, measured: Iterable[LayerLatency]) -> LayerCosts:
    """The time that float takes more; a layer that is as fast in float costs nothing.

    Raises:
        InvalidConfig: a layer was not measured.
    """
    times: Mapping[str, LayerLatency] = {row.layer: row for row in measured}
    if missing := [row.layer for row in sensitivity.layers if row.layer not in times]:
        raise InvalidConfig(f"The latency of {missing[0]} was not measured.", why="The search weighs every int8 layer.")
    more = {row.layer: times[row.layer].float_ms - times[row.layer].int8_ms for row in sensitivity.layers}
    return LayerCosts(of="latency", layers={layer: max(0.0, time) for layer, time in more.items()})
