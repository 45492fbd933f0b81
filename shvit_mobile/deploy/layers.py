"""Access to the layers of a deploy form by name: lookup, hooks and replacement."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from threading import local
from typing import TypeVar
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from shvit_mobile.deploy.verification import compute_relative_error, generate_layer_inputs, verify_error
from shvit_mobile.families.batchnorm import WeightedLayer
from shvit_mobile.families.family import ModuleRewrite

_Call = TypeVar("_Call")
# Called with a layer's name, the layer, its inputs and its output.
LayerCallback = Callable[[str, nn.Module, tuple[Tensor, ...], Tensor], None]


def get_layer(module: nn.Module, name: str) -> WeightedLayer:
    """Return the convolution or linear layer `name`, or raise `TypeError` if it is another layer."""
    layer = module.get_submodule(name)
    if not isinstance(layer, WeightedLayer):
        raise TypeError(f"{name} is no convolution and no linear layer")
    return layer


def get_bias(layer: WeightedLayer) -> Tensor:
    """Return the bias of a layer of the deploy form, shape (out channels,)."""
    if layer.bias is None:
        raise TypeError("every convolution and linear layer of the deploy form has a bias")
    return layer.bias


def find_head(module: nn.Module, classes: int) -> str | None:
    """Return the name of the last linear layer with an output for each class; None if there is none."""
    linear = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    return next((name for name, layer in reversed(linear) if layer.out_features == classes), None)


@contextmanager
def hook_layers(layers: Iterable[tuple[str, nn.Module]], callback: LayerCallback) -> Iterator[None]:
    """Call `callback` for each of the named `layers` that runs inside the context."""
    hooks = [layer.register_forward_hook(partial(callback, name)) for name, layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class CallCounts(local):
    """Counts the calls of layers, in each thread. A model runs all of its calls, in order."""

    def __init__(self) -> None:
        self._counts = WeakKeyDictionary[nn.Module, int]()

    def get_current(self, calls: Sequence[_Call], layer: nn.Module) -> _Call:
        """Return the one of a layer's calls that runs, until `advance`."""
        return calls[self._counts.get(layer, 0) % len(calls)]

    def advance(self, layer: nn.Module) -> None:
        """Note that a call of a layer has ended."""
        self._counts[layer] = self._counts.get(layer, 0) + 1


def insert_layer(chain: nn.Module, position: int, name: str, layer: nn.Module) -> None:
    """Insert in place a layer into a chain of layers; the others keep their names.

    Args:
        chain: The chain, such as an `nn.Sequential`.
        position: How many layers come before it.
        name: The layer's name in the chain.
        layer: The layer.
    """
    layers = list(chain.named_children())
    for other, _ in layers:
        delattr(chain, other)
    for other, module in [*layers[:position], (name, layer), *layers[position:]]:
        chain.add_module(other, module)


def replace_modules(
    module: nn.Module, rewrites: Mapping[type[nn.Module], ModuleRewrite], runtime: str, *, batch: int = 2
) -> None:
    """Replace in place every module of the types of `rewrites` with what its function returns for it.

    Args:
        module: The form, in float64.
        rewrites: By type, the function that builds the equal module.
        runtime: Which runtime it is for, for the error.
        batch: How many images the new module is verified on, at most 2.

    Raises:
        VerificationFailed: If a new module differs from the original.
    """
    for name, child in module.named_children():
        if type(child) in rewrites:
            equal, inputs = rewrites[type(child)](child), generate_layer_inputs(child)[:batch]
            error = compute_relative_error(child(inputs), equal(inputs))
            verify_error(f"a {type(child).__name__} for {runtime}", error)
            setattr(module, name, equal)
        else:
            replace_modules(child, rewrites, runtime, batch=batch)
