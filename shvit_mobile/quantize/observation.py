"""The observation of ranges: images pass through the deploy form, and hooks record what each layer takes and gives."""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from threading import Lock

from torch import Tensor, nn

from shvit_mobile.contracts.recipe import ActivationRange, ActivationScheme, ObserverName
from shvit_mobile.deploy.layers import CallCounts, hook_layers
from shvit_mobile.deploy.wiring import Wiring
from shvit_mobile.quantize.layers import find_dense_layers
from shvit_mobile.quantize.observers import create_observer


@contextmanager
def observe_ranges(
    module: nn.Module,
    wiring: Wiring,
    ranges: dict[str, ActivationRange],
    observer: ObserverName = "min-max",
    activations: ActivationScheme = "affine",
    *,
    layers: Container[str] | None = None,
) -> Iterator[None]:
    """Observe all values inside the context; when it ends, put the range of each call into `ranges`.

    Args:
        module: The deploy form; run it inside the context.
        wiring: Its wiring.
        ranges: Receives the ranges, by call: of a layer that runs once, by its name.
        observer: How a range is derived from the values.
        activations: How int8 divides a range into integers.
        layers: The layers to observe (default: all dense convolutions).
    """
    calls = wiring.calls_of_layers
    observed = [
        (name, layer)
        for name, layer in find_dense_layers(module)
        if name in calls and (layers is None or name in layers)
    ]
    ends = {
        call.name: (create_observer(observer, activations), create_observer(observer, activations, call.activation))
        for name, _ in observed
        for call in calls[name]
    }
    locks, counts = {name: Lock() for name in ends}, CallCounts()

    def update_observers(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        call = counts.get_current(calls[name], layer)
        counts.advance(layer)
        input_observer, output_observer = ends[call.name]
        limits = call.activation.limits if call.activation else None
        with locks[call.name]:  # batches run in several threads; what observers store does not depend on their order
            input_observer.update(inputs[0])
            output_observer.update(output.clamp(*limits) if limits else output)

    with hook_layers(observed, update_observers):
        yield
    ranges |= {
        name: ActivationRange(input=round_range(a.compute_range()), output=round_range(b.compute_range()))
        for name, (a, b) in ends.items()
    }
    share_ranges(ranges, wiring)


def share_ranges(ranges: dict[str, ActivationRange], wiring: Wiring) -> None:
    """Give concatenated outputs of int8 layers the range of the concatenation, in place.

    It is rounded with that range anyway, and then once only. XNNPACK loads no program that concatenates other integers.
    """
    for producers, consumer in wiring.joins:
        if consumer in ranges and producers <= ranges.keys():
            shared = ranges[consumer].input
            ranges |= {name: ranges[name].model_copy(update={"output": shared}) for name in producers}


def round_range(ends: tuple[float, float]) -> tuple[float, float]:
    """Round a range to five digits: beyond them float32 depends on threads and processor, and an artifact must not."""
    return float(f"{ends[0]:.5g}"), float(f"{ends[1]:.5g}")
