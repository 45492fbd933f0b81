"""Access to the layers of a deploy form by name: lookup, hooks and replacement."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

from shvit_mobile.deploy.verification import compute_relative_error, generate_layer_inputs, verify_error
from shvit_mobile.families.shvit import SingleHeadAttention

# Called with a layer's name, the layer, its inputs and its output.
LayerCallback = Callable[[str, nn.Module, tuple[Tensor, ...], Tensor], None]


def get_convolution(module: nn.Module, name: str) -> nn.Conv2d:
    """Return the convolution `name`, or raise `TypeError` if the layer is another one."""
    layer = module.get_submodule(name)
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"{name} is no convolution")
    return layer


def get_bias(layer: nn.Conv2d) -> Tensor:
    """Return the bias of a convolution of the deploy form, shape (out channels,)."""
    if layer.bias is None:
        raise TypeError("every convolution of the deploy form has a bias")
    return layer.bias


@contextmanager
def hook_layers(layers: Iterable[tuple[str, nn.Module]], callback: LayerCallback) -> Iterator[None]:
    """Call `callback` for each of the named `layers` that runs inside the context."""
    hooks = [layer.register_forward_hook(partial(callback, name)) for name, layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def replace_attention(
    module: nn.Module, create: Callable[[SingleHeadAttention], nn.Module], runtime: str, *, batch: int = 2
) -> None:
    """Replace every attention in place with the module that `create` returns for it.

    Args:
        module: The form, in float64.
        create: Builds the equal module.
        runtime: Which runtime it is for, for the error.
        batch: How many images the new module is verified on, at most 2.

    Raises:
        VerificationFailed: If a new attention differs from the original.
    """
    for name, child in module.named_children():
        if isinstance(child, SingleHeadAttention):
            equal, inputs = create(child), generate_layer_inputs(child)[:batch]
            verify_error(f"an attention for {runtime}", compute_relative_error(child(inputs), equal(inputs)))
            setattr(module, name, equal)
        else:
            replace_attention(child, create, runtime, batch=batch)
