"""An observer of the deploy form, for artifacts whose own values are not visible."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.runtimes.probes.alignment import OUTERMOST
from shvit_mobile.runtimes.probes.protocols import ObservedValue, ValueCallback


class DeployFormActivationObserver:
    """An `ActivationObserver` of torch's operators on the CPU, in float32.

    Args:
        deployed: The deploy form.
        computes_in_fp16: Whether the artifact that was made from it does.
    """

    def __init__(self, deployed: DeployForm, *, computes_in_fp16: bool = False) -> None:
        self.computes_in_fp16 = computes_in_fp16
        self.engine = f"the float model in torch {torch.__version__}"
        self._deployed = deployed

    def run(self, pixels: NDArray[np.uint8], on_value: ValueCallback, *, round_to_fp16: bool) -> None:
        deployed = self._deployed
        image, path = deployed.prepare(pixels), [""]
        on_value(ObservedValue("input", "input", "input"), image)
        with (
            torch.no_grad(),
            _track_module_path(deployed.module, path),
            _ActivationDispatchMode(on_value, path, round_to_fp16),
        ):
            deployed.module(image)


class _ActivationDispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that reports each float value torch computes, rounded to fp16 first if asked."""

    def __init__(self, on_value: ValueCallback, path: list[str], round_to_fp16: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._on_value, self._path, self._round_to_fp16 = on_value, path, round_to_fp16
        self._counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if self._round_to_fp16:
            result = tree_map_only(Tensor, _round_tensor_to_fp16, result)
        operator, layer = function.overloadpacket.__name__.removeprefix("native_"), self._path[-1] or OUTERMOST
        name = f"{layer}: {operator}"
        self._counts[name] += 1
        value = ObservedValue(f"{name} {self._counts[name]}", layer, operator)
        first = result[0] if operator == "group_norm" else result
        if operator == "group_norm":  # over one group
            squares = args[0].square()
            self._on_value(value.with_part("squares"), squares)
            self._on_value(value.with_part("sum"), squares.sum())
        elif operator == "mean":
            self._on_value(value.with_part("sum"), args[0].sum(args[1]))
        for tensor in first if isinstance(first, list | tuple) else [first]:
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                self._on_value(value, tensor)
        return result


def _round_tensor_to_fp16(tensor: Tensor) -> Tensor:
    return tensor.half().to(tensor.dtype) if tensor.is_floating_point() else tensor


@contextmanager
def _track_module_path(module: nn.Module, path: list[str]) -> Iterator[None]:
    """Keep the name of the running module as the last item of `path` inside the context."""

    def leave(*_: object) -> None:  # what a hook returns would replace the layer's output
        path.pop()

    with ExitStack() as hooks:
        for name, layer in module.named_modules():
            hooks.enter_context(layer.register_forward_pre_hook(lambda _, __, name=name: path.append(name)))
            hooks.enter_context(layer.register_forward_hook(leave))
        yield
