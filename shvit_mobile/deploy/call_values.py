"""The outputs of a module's calls: of each call of a layer, and of each residual sum, by the names of its wiring."""

from collections.abc import Container
from typing import Any

import torch
from torch import Tensor, fx, nn

from shvit_mobile.deploy.exporting import export_model, find_dependent, get_operator_name
from shvit_mobile.deploy.wiring import name_calls

_PRODUCTS = ("mul", "mul_", "div", "div_")


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
        self._recorder, self._names = _Recorder(exported.graph_module), name_calls(exported)
        inputs = [node for node in exported.graph.nodes if node.name in signature.user_inputs]
        self._dependent = find_dependent(exported.graph.nodes, inputs)
        self._places = [node.name for node in exported.graph.nodes if node.op == "placeholder"]

    @torch.no_grad()
    def run(self, images: Tensor, scaled: Container[str] = ()) -> dict[str, Tensor]:
        """Return the output of each call for images, in execution order.

        Args:
            images: The images.
            scaled: The calls whose output counts behind the constants by which alone it is multiplied.
        """
        self._recorder.names = {
            self._find_last_product(node) if name in scaled else node: name for node, name in self._names.items()
        }
        self._recorder.values = {}
        self._recorder.run(*(self._stored.get(place, images) for place in self._places))
        return self._recorder.values

    def _find_last_product(self, node: fx.Node) -> fx.Node:
        """Return the last of the products of a value with constants; the value itself if it is in none."""
        while len(node.users) == 1 and get_operator_name(user := next(iter(node.users))) in _PRODUCTS:
            if sum(value in self._dependent for value in user.all_input_nodes) != 1:
                break
            node = user
        return node


class _Recorder(fx.Interpreter):
    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module)
        self.names: dict[fx.Node, str] = {}
        self.values: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n in self.names:
            self.values[self.names[n]] = result.clone()
        return result
