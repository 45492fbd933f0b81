"""The observation of ranges: images pass through the deploy form, and hooks record what each layer takes and gives."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

from shvit_mobile.contracts.recipe import ActivationRange, ActivationScheme, ObserverName
from shvit_mobile.quantize.layers import find_dense_convolutions, find_layers_before_relu
from shvit_mobile.quantize.observers import Observer, create_observer


@contextmanager
def observe_ranges(
    module: nn.Module,
    ranges: dict[str, ActivationRange],
    observer: ObserverName = "min-max",
    activations: ActivationScheme = "affine",
    *,
    layers: Container[str] | None = None,
) -> Iterator[None]:
    """While open, every image that passes through `module` is looked at; then `ranges` has what came of it.

    Of `layers`, or of all dense convolutions.
    """
    relus = find_layers_before_relu(module)
    ends: dict[str, tuple[Observer, Observer]] = {}
    hooks = []
    for name, layer in find_dense_convolutions(module):
        if layers is not None and name not in layers:
            continue
        ends[name] = create_observer(observer, activations), create_observer(observer, activations)
        hooks.append(layer.register_forward_hook(partial(update_observers, *ends[name], name in relus)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    ranges |= {
        name: ActivationRange(input=round_range(a.compute_range()), output=round_range(b.compute_range()))
        for name, (a, b) in ends.items()
    }


def round_range(ends: tuple[float, float]) -> tuple[float, float]:
    """A range to five digits: beyond them float32 depends on threads and processor, and an artifact must not."""
    return float(f"{ends[0]:.5g}"), float(f"{ends[1]:.5g}")


def update_observers(
    input_observer: Observer,
    output_observer: Observer,
    relu: bool,
    _: nn.Module,
    inputs: tuple[Tensor, ...],
    output: Tensor,
) -> None:
    input_observer.update(inputs[0])
    output_observer.update(output.relu() if relu else output)
