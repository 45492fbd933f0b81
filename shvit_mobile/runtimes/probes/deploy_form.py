"""The deploy form with every value seen: what stands in for an artifact that computes in float32 or int8."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from shvit_mobile.contracts.preprocessing import convert_to_raw_input
from shvit_mobile.deploy.fold import DeployForm
from shvit_mobile.runtimes.probes.activations import ObservedValue, ValueCallback

NORM, MEAN = "group_norm", "mean"


class DeployFormActivationObserver:
    """A `Watch`: torch's operators on the CPU, in float32."""

    computes_in_fp16 = False

    def __init__(self, deployed: DeployForm) -> None:
        self.engine = f"the float model in torch {torch.__version__}"
        self._deployed = deployed

    def run(self, pixels: NDArray[np.uint8], on_value: ValueCallback, *, round_to_fp16: bool) -> None:
        deployed = self._deployed
        given = (
            convert_to_raw_input(pixels)
            if deployed.input_domain == "pixels"
            else deployed.trained.preprocessing.normalize(pixels)
        )
        image, path = torch.from_numpy(given), [""]
        on_value(ObservedValue("input", "input", "input"), image)
        with (
            torch.no_grad(),
            track_module_path(deployed.module, path),
            ActivationDispatchMode(on_value, path, round_to_fp16),
        ):
            deployed.module(image)


class ActivationDispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While open, every float value that torch makes is looked at, and rounded to fp16 first where that is wanted."""

    def __init__(self, on_value: ValueCallback, path: list[str], round_to_fp16: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._look, self._path, self._half = on_value, path, round_to_fp16
        self._made: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if self._half:
            result = tree_map_only(Tensor, round_tensor_to_fp16, result)
        operator, layer = function.overloadpacket.__name__.removeprefix("native_"), self._path[-1] or "pooling"
        self._made[f"{layer}: {operator}"] += 1
        value = ObservedValue(f"{layer}: {operator} {self._made[f'{layer}: {operator}']}", layer, operator)
        first = result[0] if operator == NORM else result
        if operator in INTERNAL_OBSERVERS:
            INTERNAL_OBSERVERS[operator](self._look, value, args)
        for tensor in first if isinstance(first, list | tuple) else [first]:
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                self._look(value, tensor)
        return result


def round_tensor_to_fp16(tensor: Tensor) -> Tensor:
    return tensor.half().to(tensor.dtype) if tensor.is_floating_point() else tensor


def observe_norm_internals(on_value: ValueCallback, value: ObservedValue, args: tuple[Any, ...]) -> None:
    """What a norm of one group forms of an image: its squares and their sum."""
    squares = args[0].square()
    on_value(value.with_part("squares"), squares)
    on_value(value.with_part("sum"), squares.sum())


def observe_mean_internals(on_value: ValueCallback, value: ObservedValue, args: tuple[Any, ...]) -> None:
    on_value(value.with_part("sum"), args[0].sum(args[1]))


INTERNAL_OBSERVERS: dict[str, Callable[[ValueCallback, ObservedValue, tuple[Any, ...]], None]] = {
    NORM: observe_norm_internals,
    MEAN: observe_mean_internals,
}


@contextmanager
def track_module_path(module: nn.Module, path: list[str]) -> Iterator[None]:
    """While open, the last of `path` is the name of the module that runs."""
    hooks = []
    for name, layer in module.named_modules():
        hooks.append(layer.register_forward_pre_hook(lambda _, __, name=name: path.append(name)))
        hooks.append(layer.register_forward_hook(lambda _, __, ___: pop_module_path(path)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def pop_module_path(path: list[str]) -> None:
    path.pop()
