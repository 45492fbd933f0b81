"""The cost of a layer in float instead of int8."""

from collections.abc import Iterable

from shvit_mobile.contracts.budget_search import LayerCosts, LayerLatency
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.sensitivity import SensitivityReport
from shvit_mobile.errors import MissingParameter

# Bytes of a weight that the target keeps in float. In int8 it takes one byte.
_FLOAT_BYTES: dict[Target, int] = {"coreml": 2, "executorch": 4, "onnx": 4}


def compute_byte_costs(sensitivity: SensitivityReport, target: Target) -> LayerCosts:
    """Return the bytes that the weights of each layer add to the artifact of a target."""
    added = _FLOAT_BYTES[target] - 1
    return LayerCosts(of="bytes", layers={row.layer: float(added * row.weights) for row in sensitivity.layers})


def compute_mac_costs(sensitivity: SensitivityReport) -> LayerCosts:
    """Return the multiply-adds of each layer for one image."""
    return LayerCosts(of="macs", layers={row.layer: float(row.macs) for row in sensitivity.layers})


def compute_latency_costs(sensitivity: SensitivityReport, latencies: Iterable[LayerLatency]) -> LayerCosts:
    """Return the milliseconds by which each layer is slower in float; 0 if it is not slower.

    Raises:
        MissingParameter: If `latencies` lacks an int8 layer.
    """
    added = {row.layer: max(0.0, row.float_ms - row.int8_ms) for row in latencies}
    layers = [row.layer for row in sensitivity.layers]
    if missing := [layer for layer in layers if layer not in added]:
        raise MissingParameter(
            f"The latency of {missing[0]} was not measured.",
            why="The search needs the cost of every int8 layer.",
            parameter="latencies",
        )
    return LayerCosts(of="latency", layers={layer: added[layer] for layer in layers})
