"""Simplify an exported ONNX graph: what onnxscript's optimizer leaves when the batch is dynamic."""

import onnx_ir as ir
from onnx_ir.passes import common

# Operators that return their first value if the second is this number.
_NEUTRAL = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0}
_COMMUTATIVE = ("Add", "Mul")

# A size of None is known only when the model runs.
_Sizes = list[int | None]


def simplify(model: ir.Model) -> None:
    """Simplify a model in place; its values stay the same, but for the order in which a mean is summed."""
    for node in list(model.graph):
        if node.op_type == "Reshape":
            _fix_reshape(node)
        elif node.op_type == "Expand":
            _fix_expand(node)
        elif node.op_type in _NEUTRAL:
            _drop_neutral(node)
        elif node.op_type == "ReduceMean":
            _pool(node)
    ir.passes.Sequential(common.RemoveUnusedNodesPass(), common.CommonSubexpressionEliminationPass())(model)


def _fix_reshape(node: ir.Node) -> None:
    """Replace a target shape that is computed when the model runs by a constant, if at most one size is unknown."""
    output, target = node.outputs[0], _get_input(node, 1)
    if target.const_value is not None:
        return
    sizes = _list_sizes(output.shape)
    if sizes is None or sizes.count(None) > 1:
        sizes = _trace_sizes(target)
    if sizes is not None and sizes.count(None) <= 1 and -1 not in sizes:
        if output.shape is None or output.shape.has_unknown_dim():
            output.shape = _copy_shape(target) or output.shape
        _set_target(node, [-1 if size is None else size for size in sizes])


def _fix_expand(node: ir.Node) -> None:
    """Replace a target shape that is computed when the model runs by a constant, if the value has its unknown sizes."""
    given, wanted = _get_input(node, 0).shape, node.outputs[0].shape
    if _get_input(node, 1).const_value is not None or given is None or wanted is None:
        return
    added, sizes = len(wanted) - len(given), list[int]()
    for axis, size in enumerate(wanted):
        if isinstance(size, int):
            sizes.append(size)
        elif size.value is not None and axis >= added and given[axis - added] == size:
            sizes.append(1)
        else:
            return
    _set_target(node, sizes)


def _drop_neutral(node: ir.Node) -> None:
    """Remove a sum with zero or a product with one."""
    first, second = _get_input(node, 0), _get_input(node, 1)
    pairs = [(first, second), (second, first)] if node.op_type in _COMMUTATIVE else [(first, second)]
    for value, constant in pairs:
        if (
            constant.const_value is not None
            and _keeps_shape(value.shape, constant.shape)
            and (constant.const_value.numpy() == _NEUTRAL[node.op_type]).all()
            and not node.outputs[0].is_graph_output()
        ):
            node.outputs[0].replace_all_uses_with(value)
            return


def _pool(node: ir.Node) -> None:
    """Replace a mean over height and width by a pooling, which runs in the layout of convolutions."""
    value, axes = _get_input(node, 0), node.inputs[1] if len(node.inputs) > 1 else None
    if value.shape is None or len(value.shape) != 4 or axes is None or axes.const_value is None:
        return
    keeps_axes = node.attributes.get_int("keepdims", None) != 0
    if keeps_axes and {int(axis) % 4 for axis in axes.const_value.numpy()} == {2, 3}:
        pooled = ir.node("GlobalAveragePool", [value], name=node.name)
        pooled.outputs[0].shape, pooled.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
        pooled.outputs[0].name = node.outputs[0].name
        ir.convenience.replace_nodes_and_values(_get_graph(node), node, [node], [pooled], node.outputs, pooled.outputs)


def _keeps_shape(value: ir.Shape | None, constant: ir.Shape | None) -> bool:
    """Return whether a constant broadcasts to the shape of a value."""
    if value is None or constant is None or len(constant) > len(value):
        return False
    last = list(value)[len(value) - len(constant) :]
    return all(size in (1, other) for size, other in zip(constant, last, strict=True))


def _trace_sizes(target: ir.Value) -> _Sizes | None:
    """Return the sizes that a target shape consists of, from the operators that compute it."""
    if target.const_value is not None:
        return [int(size) for size in target.const_value.numpy().reshape(-1)]
    producer = target.producer()
    if producer is not None and producer.op_type == "Shape":
        return _list_sizes(_copy_shape(target))
    if producer is not None and producer.op_type == "Concat":
        parts = [_trace_sizes(part) for part in producer.inputs if part is not None]
        return None if None in parts else [size for part in parts for size in part or ()]
    return [None] if target.shape is not None and list(target.shape) == [1] else None


def _copy_shape(target: ir.Value) -> ir.Shape | None:
    """Return the shape of another value of which `target` is the shape, or a part of it; None if it is computed."""
    producer = target.producer()
    if producer is None or producer.op_type != "Shape":
        return None
    shape = _get_input(producer, 0).shape
    start, end = producer.attributes.get_int("start", 0), producer.attributes.get_int("end", None)
    return None if shape is None else ir.Shape(list(shape)[start:end])


def _list_sizes(shape: ir.Shape | None) -> _Sizes | None:
    return None if shape is None else [size if isinstance(size, int) else None for size in shape]


def _set_target(node: ir.Node, sizes: list[int]) -> None:
    """Make the target shape of a node a constant of its graph."""
    name = f"{node.name}.target"
    constant = ir.Value(
        name=name, const_value=ir.tensor(sizes, ir.DataType.INT64, name=name), shape=ir.Shape([len(sizes)])
    )
    _get_graph(node).register_initializer(constant)
    node.replace_input_with(1, constant)


def _get_graph(node: ir.Node) -> ir.Graph:
    if not isinstance(node.graph, ir.Graph):
        raise TypeError(f"{node.name} is in no graph")
    return node.graph


def _get_input(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    if value is None:
        raise TypeError(f"{node.name} lacks its input {index}")
    return value
