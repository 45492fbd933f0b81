"""Find what the converter multiplied into the weight of a layer: factors behind it, or the end of a norm before it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from shvit_mobile.errors import NotSupported
from shvit_mobile.targets.litert.flatbuffer import OperatorView, read_values

Array = NDArray[np.float32]
# How far a product in float32 may be from its exact value, relative; and a sum of products.
_ROUNDING, _SUM_ROUNDING = 2.0**-22, 1e-5


@dataclass(frozen=True, eq=False)
class Folds:
    """A layer as it was before the converter multiplied constants into it.

    Attributes:
        bias: Its bias, shape (out channels,); None if it has none.
        factors: The factor of each output channel behind the layer; None if there are none.
        norm: The norm in front of the layer whose weight and bias, one for each input channel, are in the layer's.
    """

    bias: Array | None
    factors: Array | None = None
    norm: nn.Module | None = None


def find_folds(view: OperatorView, module: nn.Module, path: str) -> Folds:
    """Find what the converter multiplied into a layer.

    Args:
        view: The layer in the converted model.
        module: The module that was converted.
        path: The path of the layer.

    Raises:
        NotSupported: If the weight in the model is neither the layer's nor one with factors or a norm in it.
    """
    layer, axis = module.get_submodule(path), get_output_axis(view)
    stored = read_values(view.model, view.inputs[1])
    bias = None if len(view.inputs) < 3 or view.inputs[2] is None else read_values(view.model, view.inputs[2])
    own_bias, weight = read_parameter(layer, "bias"), read_parameter(layer, "weight")
    assert weight is not None
    weight = arrange_weight(weight, stored.shape, axis)
    if np.array_equal(weight, stored):
        return Folds(bias)
    own, products = (np.moveaxis(values, axis, 0).reshape(stored.shape[axis], -1) for values in (weight, stored))
    if (factors := _find_row_factors(own, products)) is not None:
        if bias is not None:
            is_own = own_bias is not None and _is_equal(own_bias * factors, bias)
            bias = own_bias if is_own else (bias / factors).astype(np.float32)
        return Folds(bias, factors)
    scale = _find_row_factors(own.T, products.T)
    if scale is not None and bias is not None:
        for norm in module.modules():
            if _is_norm(norm, scale, own, bias, own_bias):
                return Folds(own_bias, norm=norm)
    raise build_layer_error(path, "its weight is another one in the converted model")


def _find_row_factors(rows: Array, products: Array) -> Array | None:
    """Return the factor of each row by which `products` are larger than `rows`; None if there are none."""
    places = np.arange(len(rows)), np.abs(rows).argmax(1)
    factors = np.divide(products[places], rows[places], out=np.ones(len(rows), np.float32), where=rows[places] != 0)
    return factors if factors.all() and _is_equal(rows * factors[:, None], products) else None


def _is_norm(norm: nn.Module, scale: Array, weight: Array, bias: Array, own_bias: Array | None) -> bool:
    """Return whether a module's weight is the scale of a layer's inputs, and its bias explains the layer's new bias."""
    own_scale, shift = read_parameter(norm, "weight"), read_parameter(norm, "bias")
    if own_scale is None or own_scale.shape != scale.shape or not _is_equal(own_scale, scale):
        return False
    expected = np.zeros_like(bias) if own_bias is None else own_bias
    if shift is not None:
        expected = expected + weight @ shift
    return bool(np.allclose(expected, bias, rtol=0, atol=_SUM_ROUNDING * float(np.abs(bias).max())))


def _is_equal(expected: Array, actual: Array) -> bool:
    return bool(np.allclose(expected, actual, rtol=_ROUNDING, atol=0))


def get_output_axis(view: OperatorView) -> int:
    """Return the axis of a layer's weight that holds the output channels."""
    return 3 if view.kind == "DEPTHWISE_CONV_2D" else 0


def arrange_weight(weight: NDArray[Any], shape: tuple[int, ...], axis: int) -> NDArray[Any]:
    """Return a weight, (out channels, in channels, ...), with channels last and the outputs on `axis`."""
    moved = np.moveaxis(weight, 1, -1)
    return (np.moveaxis(moved, 0, axis) if axis else moved).reshape(shape)


def read_parameter(layer: nn.Module, name: str) -> Array | None:
    """Return a parameter as a float32 array; None if there is none."""
    parameter = getattr(layer, name, None)
    if not isinstance(parameter, nn.Parameter):
        return None
    values: Array = parameter.detach().cpu().float().numpy()
    return values


def build_layer_error(layer: str, reason: str) -> NotSupported:
    """Return the error for a layer that cannot be int8."""
    return NotSupported(
        f"The layer {layer} cannot be int8 in a LiteRT model: {reason}.",
        why="Its integers are written in place of its weight.",
        hint="Keep it in float: name it in `float_layers`.",
    )
