"""Rewrites of operators in an exported graph, each compared in float64 with what it replaces.

A rewrite is a function from tensors to tensors, with the arguments of the operator that it replaces. The graph is run
with it once in float64, which verifies every rewrite on the values that it has there, and is then exported again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from shvit_mobile.deploy.exporting import LAYERS, export_model, find_dependent, get_operator_name
from shvit_mobile.deploy.verification import compute_relative_error, convert_dtype, verify_error

# They check dtypes, which differ in float64, and return nothing.
_CHECKS = ("_assert_tensor_metadata",)
# Between float types; all are float64 at first, then float32.
_CASTS = ("to", "_to_copy")
# Takes the call and the operator's arguments; returns None to leave the operator as it is.
OperatorRewrite = Callable[..., Any]


def rewrite_operators(
    module: nn.Module, image: Tensor, rewrites: Mapping[str, OperatorRewrite], runtime: str
) -> nn.Module:
    """Return a module that computes the same without the operators that `rewrites` replaces.

    What does not depend on the image becomes a constant. Layers keep their names, but not their types: the result is
    the module of a graph.

    Args:
        module: In float32 and eval mode, on the CPU.
        image: An example of its input, float32, batch 1.
        rewrites: By operator, "softmax", the function that computes the same.
        runtime: Which runtime it is for, for the error.

    Raises:
        VerificationFailed: If a rewrite, or the whole, differs by more than 1e-9 relative, in float64.
        NotSupported: If torch.export does not accept the module.
    """
    source = export_model(module, image).module(check_guards=False)
    rewritten = _RewrittenModule(source, rewrites, runtime)
    convert_dtype(rewritten, torch.zeros((), dtype=torch.float64))
    with torch.no_grad():
        expected = _Interpreter(_RewrittenModule(source, {}, runtime)).run(image.double())
        actual = rewritten(image.double())
    verify_error(f"the graph for {runtime}", compute_relative_error(expected, actual))
    convert_dtype(rewritten, torch.zeros(()))
    rewritten.verified = True
    return export_model(rewritten, image).module(check_guards=False)


class _RewrittenModule(nn.Module):
    """A module that interprets a graph and replaces operators.

    Attributes:
        verified: Constants are known, and rewrites are not compared any more.
        permuted: By the identity of a value, the value itself, what it was permuted from, and the order of the axes.
    """

    def __init__(self, source: fx.GraphModule, rewrites: Mapping[str, OperatorRewrite], runtime: str) -> None:
        super().__init__()
        for name, child in source.named_children():
            self.add_module(name, child)
        for name, parameter in source.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, value in [*source.named_buffers(recurse=False), *vars(source).items()]:
            if isinstance(value, Tensor):
                self.register_buffer(name, value)
        self.graph, self.rewrites, self.runtime = source.graph, rewrites, runtime
        inputs = [node for node in source.graph.nodes if node.op == "placeholder"]
        layers = [node for node in source.graph.nodes if get_operator_name(node) in LAYERS]
        self.dependent = find_dependent(source.graph.nodes, inputs)
        self.before_layers = self.dependent - find_dependent(source.graph.nodes, self.dependent.intersection(layers))
        self.verified = False
        self.permuted: dict[int, tuple[Tensor, Tensor, tuple[int, ...]]] = {}

    def forward(self, image: Tensor) -> Tensor:
        self.permuted.clear()
        result: Tensor = _Interpreter(self).run(image)
        return result

    def keep(self, name: str, create: Callable[[], Tensor]) -> Tensor:
        """Return a constant of the new graph, which is created the first time."""
        if name not in self._buffers:
            self.register_buffer(name, create())
        return self.get_buffer(name)


class _Interpreter(fx.Interpreter):
    def __init__(self, module: _RewrittenModule) -> None:
        super().__init__(module, garbage_collect_values=False, graph=module.graph)
        self.owner = module

    def run_node(self, n: fx.Node) -> Any:
        name = get_operator_name(n)
        if n.op != "call_function" or name in _CHECKS:
            return None if n.op == "call_function" else super().run_node(n)
        if n not in self.owner.dependent:
            return self._fold_constant(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if name in _CASTS and args[0].is_floating_point():
            return args[0].to(memory_format=kwargs.get("memory_format", torch.preserve_format))
        rewrite = self.owner.rewrites.get(name)
        if rewrite is None:
            return super().run_node(n)
        in_place = name.endswith("_") and isinstance(args[0], Tensor)
        if not self.owner.verified:
            # Copies, because an operator may change its input or need it contiguous.
            copies = fx.node.map_aggregate(
                args, lambda one: one.clone(memory_format=torch.contiguous_format) if isinstance(one, Tensor) else one
            )
            before = self.call_function(n.target, copies, kwargs)
        result = rewrite(OperatorCall(self.owner, n), *args, **kwargs)
        if result is None:
            return super().run_node(n)
        if in_place:
            self.env[n.all_input_nodes[0]] = result  # Others may read the value that the operator changes.
        if not self.owner.verified:
            for one, other in zip(_list_tensors(before), _list_tensors(result), strict=True):
                verify_error(f"{name} for {self.owner.runtime}", compute_relative_error(one, other))
        return result

    def _fold_constant(self, node: fx.Node) -> Any:
        """Compute a value that does not depend on the image, and keep it if something else than constants takes it."""
        name = f"constant_{node.name}"
        if self.owner.verified:
            return getattr(self.owner, name, None)
        value = super().run_node(node)
        if isinstance(value, Tensor):
            value = value.double() if value.is_floating_point() else value
            if self.owner.dependent.intersection(node.users):
                self.owner.keep(name, value.detach().clone)
        return value


class OperatorCall:
    """The call of an operator that is rewritten."""

    def __init__(self, owner: _RewrittenModule, node: fx.Node) -> None:
        self._owner, self.node = owner, node

    @property
    def takes_image(self) -> bool:
        """Whether the first argument depends on the image, and on no layer."""
        return self.node.args[0] in self._owner.before_layers

    @property
    def users(self) -> list[str]:
        """The operators that take the result."""
        return [get_operator_name(user) for user in self.node.users]

    @property
    def users_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of what they return."""
        return [tuple(user.meta["val"].shape) for user in self.node.users]

    def is_constant(self, position: int) -> bool:
        """Return whether an argument does not depend on the image."""
        value = self.node.args[position]
        return not isinstance(value, fx.Node) or value not in self._owner.dependent

    def permute(self, x: Tensor, order: Sequence[int]) -> Tensor:
        """Permute the axes of a value; one that was permuted before is permuted from its origin."""
        base, axes = self.find_origin(x)
        axes = tuple(axes[axis % x.ndim] for axis in order)
        if axes == tuple(range(x.ndim)):
            return base
        result = base.permute(axes)
        self._owner.permuted[id(result)] = (result, base, axes)
        return result

    def find_origin(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Return the value that `x` was permuted from, and the order of its axes; `x` itself if it was not."""
        _, base, axes = self._owner.permuted.get(id(x), (x, x, tuple(range(x.ndim))))
        return base, axes

    def constant(self, name: str, create: Callable[[], Tensor]) -> Tensor:
        """Return a constant of the new graph.

        Args:
            name: What tells it from other constants of this call.
            create: Creates it in float64, the first time.
        """
        return self._owner.keep(f"{self.node.name}_{name}", create)


def _list_tensors(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)
