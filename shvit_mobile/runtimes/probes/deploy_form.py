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

from shvit_mobile.contracts.preprocessing import raw
from shvit_mobile.deploy.fold import DeployForm
from shvit_mobile.runtimes.probes.activations import Look, Value

NORM, MEAN = "group_norm", "mean"


class FormWatch:
    """A `Watch`: torch's operators on the CPU, in float32."""

    computes_in_half = False

    def __init__(self, deployed: DeployForm) -> None:
        self.engine = f"the float model in torch {torch.__version__}"
        self._deployed = deployed

    def run(self, pixels: NDArray[np.uint8], look: Look, *, half: bool) -> None:
        deployed = self._deployed
        given = raw(pixels) if deployed.takes == "pixels" else deployed.trained.preprocessing.normalised(pixels)
        image, path = torch.from_numpy(given), [""]
        look(Value("input", "input", "input"), image)
        with torch.no_grad(), following(deployed.module, path), Looking(look, path, half):
            deployed.module(image)


class Looking(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While open, every float value that torch makes is looked at, and rounded to fp16 first where that is wanted."""

    def __init__(self, look: Look, path: list[str], half: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._look, self._path, self._half = look, path, half
        self._made: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if self._half:
            result = tree_map_only(Tensor, rounded, result)
        operator, layer = function.overloadpacket.__name__.removeprefix("native_"), self._path[-1] or "pooling"
        self._made[f"{layer}: {operator}"] += 1
        value = Value(f"{layer}: {operator} {self._made[f'{layer}: {operator}']}", layer, operator)
        first = result[0] if operator == NORM else result
        if operator in INSIDE:
            INSIDE[operator](self._look, value, args)
        for tensor in first if isinstance(first, list | tuple) else [first]:
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                self._look(value, tensor)
        return result


def rounded(tensor: Tensor) -> Tensor:
    return tensor.half().to(tensor.dtype) if tensor.is_floating_point() else tensor


def inside_norm(look: Look, value: Value, args: tuple[Any, ...]) -> None:
    """What a norm of one group forms of an image: its squares and their sum."""
    squares = args[0].square()
    look(value.inside("squares"), squares)
    look(value.inside("sum"), squares.sum())


def inside_mean(look: Look, value: Value, args: tuple[Any, ...]) -> None:
    look(value.inside("sum"), args[0].sum(args[1]))


INSIDE: dict[str, Callable[[Look, Value, tuple[Any, ...]], None]] = {NORM: inside_norm, MEAN: inside_mean}


@contextmanager
def following(module: nn.Module, path: list[str]) -> Iterator[None]:
    """While open, the last of `path` is the name of the module that runs."""
    hooks = []
    for name, layer in module.named_modules():
        hooks.append(layer.register_forward_pre_hook(lambda _, __, name=name: path.append(name)))
        hooks.append(layer.register_forward_hook(lambda _, __, ___: leave(path)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def leave(path: list[str]) -> None:
    path.pop()
