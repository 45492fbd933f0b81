"""The outputs of a module's calls: of each call of a layer, and of each residual sum, by the names of its wiring."""

from typing import Any

import torch
from torch import Tensor, fx, nn

from shvit_mobile.deploy.exporting import export_model
from shvit_mobile.deploy.wiring import name_calls


class CallRecorder:
    """A module that runs on images and shows the output of each call.

    Hooks on modules would not do: a layer may run twice, a sum is no module, and an activation may change the output of
    a layer in place.
    """

    def __init__(self, module: nn.Module, images: Tensor) -> None:
        """Export the module.

        Args:
            module: In eval mode.
            images: Its input; all later inputs have this shape and dtype.

        Raises:
            NotSupported: If torch.export does not accept it.
        """
        exported = export_model(module, images)
        signature, state = exported.graph_signature, {**exported.state_dict, **exported.constants}
        known = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        self._stored = {place: state[name] for place, name in known.items()}
        self._recorder = _Recorder(exported.graph_module, name_calls(exported))
        self._places = [node.name for node in exported.graph.nodes if node.op == "placeholder"]

    @torch.no_grad()
    def run(self, images: Tensor) -> dict[str, Tensor]:
        """Return the output of each call for images, in execution order."""
        self._recorder.values = {}
        self._recorder.run(*(self._stored.get(place, images) for place in self._places))
        return self._recorder.values


class _Recorder(fx.Interpreter):
    def __init__(self, graph_module: fx.GraphModule, names: dict[fx.Node, str]) -> None:
        super().__init__(graph_module)
        self._names = names
        self.values: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n in self._names:
            self.values[self._names[n]] = result.clone()
        return result
