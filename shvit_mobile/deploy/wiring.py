"""The wiring of a model: the calls of its layers and how they are connected, read from the graph of torch.export.

No type of module and no name of a layer is known here, so the same analysis serves every family.
"""

import math
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import fx, nn

from shvit_mobile.deploy.activations import Activation, find_activation, find_last_node, find_moved
from shvit_mobile.deploy.exporting import (
    PADS,
    TRANSPARENT,
    export_model,
    get_argument,
    get_module_path,
    get_operator_name,
    get_padding_value,
)

CallKind = Literal["conv", "linear", "residual"]
_LAYER_OPERATORS: dict[str, CallKind] = {"conv1d": "conv", "conv2d": "conv", "linear": "linear"}
_SUMS = ("add", "add_")
_RELUS = ("relu", "relu_")
# f(factor * x) = factor * f(x) for every positive factor, and no value moves between channels.
_HOMOGENEOUS = (*TRANSPARENT, *_RELUS, "leaky_relu", "leaky_relu_")
# The same, as long as the channels are not among the axes at the end that it works on, and how many these are.
_SPATIAL = {
    f"{name}{count}d": count
    for count in (1, 2)
    for name in ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool")
} | {"upsample_nearest1d": 1, "upsample_linear1d": 1, "upsample_nearest2d": 2, "upsample_bilinear2d": 2}
_RESHAPES = ("flatten", "reshape", "view", "_unsafe_view", "squeeze", "unsqueeze")
_PRODUCTS = ("matmul", "bmm")


@dataclass(frozen=True)
class Call:
    """A call of a layer, or a sum of two values that both depend on the input.

    Attributes:
        name: The layer's path in the module, or the path of the module that adds. From its second call on, a layer's
            name ends in "@2", "@3", ...; a second sum in a module, too.
        kind: Convolution, linear layer or residual sum.
        weight_shape: The shape of the weight; empty for a sum.
        groups: The groups of a convolution; 1 for the others.
        source: The name of the call whose output it takes, directly, through the activation that is part of that layer
            in int8, or moved; None if there is none.
        activation: The activation that alone uses the output; None if there is none.
        positions: At how many positions of an image it multiplies; 1 after a mean over all of them.
        input_module: The path of the module that computes its input, apart from relus; empty for a sum, and for the
            outermost module.
    """

    name: str
    kind: CallKind
    weight_shape: tuple[int, ...]
    groups: int = 1
    source: str | None = None
    activation: Activation | None = None
    positions: int = 1
    input_module: str = ""

    @property
    def layer(self) -> str:
        """The path of the layer in the module."""
        return get_layer_path(self.name)


@dataclass(frozen=True)
class ChannelSlice:
    """The channels of a layer from `start` to `stop` (default: the last)."""

    layer: str
    start: int = 0
    stop: int | None = None

    @property
    def channels(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class EqualizationGroup:
    """Channels that only their producer and consumers use.

    A relu, a gate and a weighted mean over positions are linear in a positive factor. So the producer may scale a
    channel up and the consumers scale it down, and the model stays the same.

    Attributes:
        producer: The output channels of the layer that computes them.
        consumers: The input channels of the layers that read them.
        inverse_producers: Output channels that are multiplied with them, and so are scaled by the inverse.
    """

    producer: ChannelSlice
    consumers: tuple[ChannelSlice, ...] = ()
    inverse_producers: tuple[ChannelSlice, ...] = field(default=())

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers of the group."""
        return tuple(part.layer for part in (self.producer, *self.consumers, *self.inverse_producers))

    @property
    def name(self) -> str:
        return self.producer.layer if not self.producer.start else f"{self.producer.layer}[{self.producer.start}:]"


class Join(NamedTuple):
    """Calls whose outputs are concatenated, with nothing else, and the call of a layer that reads the result."""

    producers: frozenset[str]
    consumer: str


@dataclass(frozen=True)
class Wiring:
    """How the layers of a module are connected.

    Attributes:
        calls: The calls of layers, and the sums, in execution order.
        groups: The equalization groups, in execution order of their producers.
        first_layers: The layers that read the input, before any other layer.
        joins: The concatenations of layers' outputs that layers read.
    """

    calls: tuple[Call, ...]
    groups: tuple[EqualizationGroup, ...]
    first_layers: tuple[str, ...]
    joins: tuple[Join, ...] = ()

    @classmethod
    def from_module(cls, module: nn.Module, shape: tuple[int, ...]) -> "Wiring":
        """Analyse a module in eval mode.

        Args:
            module: It takes one tensor.
            shape: The shape of its input.

        Raises:
            NotSupported: If torch.export does not accept it.
        """
        example = next(module.parameters(), torch.zeros(()))
        inputs = torch.zeros(shape, dtype=example.dtype, device=example.device)
        return _Analysis(export_model(module, inputs)).read_wiring()

    @cached_property
    def calls_of_layers(self) -> dict[str, tuple[Call, ...]]:
        """By layer, its calls."""
        found: dict[str, list[Call]] = {}
        for call in self.calls:
            if call.kind != "residual":
                found.setdefault(call.layer, []).append(call)
        return {layer: tuple(calls) for layer, calls in found.items()}

    @cached_property
    def activations(self) -> dict[str, Activation]:
        """By layer, the activation behind it, if it is behind all of its calls."""
        behind = {layer: {call.activation for call in calls} for layer, calls in self.calls_of_layers.items()}
        return {layer: one for layer, (one, *more) in behind.items() if one is not None and not more}

    @cached_property
    def limits(self) -> dict[str, tuple[float, float]]:
        """By layer, the interval to which the activation behind it limits its output; int8 rounds it after that."""
        found = {layer: activation.limits for layer, activation in self.activations.items()}
        return {layer: limits for layer, limits in found.items() if limits is not None}

    @cached_property
    def sources(self) -> dict[str, str]:
        """By call, the call whose output it takes, through what is part of that layer in int8."""
        return {call.name: call.source for call in self.calls if call.source is not None}


def name_call(layer: str, number: int) -> str:
    """Return the name of a call of a layer; the first has the number 1."""
    return layer if number == 1 else f"{layer}@{number}"


def get_layer_path(call: str) -> str:
    """Return the path of the layer that a call is of, by the call's name."""
    return call.partition("@")[0]


def name_calls(exported: torch.export.ExportedProgram) -> dict[fx.Node, str]:
    """Return the nodes of calls, of layers and sums, with the names that `Wiring.calls` has."""
    analysis = _Analysis(exported)
    analysis.read_wiring()
    return analysis.names


class _Segment(NamedTuple):
    """Neighbouring channels of a tensor: output channels of `layer` from `start`; of nobody in particular if None."""

    layer: str | None
    start: int
    size: int


class _Channels(NamedTuple):
    """What is known of a tensor: the axis of its channels, and where they come from."""

    axis: int
    segments: tuple[_Segment, ...]


class _Use(NamedTuple):
    """Channels of a layer that another layer reads from its input channel `at`."""

    segment: _Segment
    consumer: str
    at: int


class _Analysis:
    """One walk through an exported graph."""

    def __init__(self, exported: torch.export.ExportedProgram) -> None:
        self.graph = exported.graph
        self.parameters = exported.graph_signature.inputs_to_parameters
        self.inputs = set(exported.graph_signature.user_inputs)
        self.calls: list[Call] = []
        self.names: dict[fx.Node, str] = {}  # of layers and sums
        self.rounded: dict[fx.Node, str] = {}  # the calls whose output in int8 a value is
        self.joins: list[Join] = []
        self.counts: Counter[str] = Counter()
        self.dependent: set[fx.Node] = set()  # on the input
        self.before_layers: set[fx.Node] = set()  # depend on the input, and on no layer
        self.first_layers: list[str] = []
        self.channels: dict[fx.Node, _Channels | list[_Channels] | None] = {}
        self.uses: list[_Use] = []
        self.products: list[tuple[_Segment, _Segment]] = []
        self.fixed: list[_Segment] = []  # channels that must not be scaled

    def read_wiring(self) -> Wiring:
        for node in self.graph.nodes:
            if node.op == "placeholder" and node.name in self.inputs:
                self.dependent.add(node)
                self.before_layers.add(node)
            elif node.op == "output":
                self._fix(node.all_input_nodes)
            elif node.op == "call_function":
                self._read_call(node)
        return Wiring(tuple(self.calls), tuple(self._list_groups()), tuple(self.first_layers), tuple(self.joins))

    def _read_call(self, node: fx.Node) -> None:
        sources = node.all_input_nodes
        if not self.dependent.intersection(sources):
            return
        self.dependent.add(node)
        name, kind = get_operator_name(node), _LAYER_OPERATORS.get(get_operator_name(node))
        first = self.before_layers.intersection(sources)
        if kind and (path := self._find_layer(node)) is not None:
            layer = self._count(path)
            self._add_call(node, layer, kind)
            if first:
                self.first_layers.append(layer)
            self.channels[node] = self._read_layer(node, layer, kind)
            return
        if first and self.dependent.intersection(sources) == first:
            self.before_layers.add(node)
        if name in _SUMS and len(self.dependent.intersection(sources)) == 2:
            self._add_call(node, self._count(get_module_path(node)), "residual")
        self.channels[node] = self._follow(node, name)

    # -- Calls ---------------------------------------------------------------------------------------------------------

    def _find_layer(self, node: fx.Node) -> str | None:
        """Return the path of the layer that a node calls; None if its weight is computed or has another name."""
        weight = node.args[1]
        path, _, leaf = (self.parameters.get(weight.name, "") if isinstance(weight, fx.Node) else "").rpartition(".")
        return path if leaf == "weight" else None

    def _count(self, path: str) -> str:
        self.counts[path] += 1
        return name_call(path, self.counts[path])

    def _add_call(self, node: fx.Node, name: str, kind: CallKind) -> None:
        self.names[node] = name
        if kind == "residual":
            self.calls.append(Call(name, kind, ()))
            return
        self.rounded[find_last_node(node)] = name
        found = find_activation(node)
        call = Call(
            name,
            kind,
            _get_shape(node.args[1]),
            _get_groups(node) if kind == "conv" else 1,
            self.rounded.get(find_moved(node.args[0])),
            found and found[1],
            _count_positions(node, kind),
            self._find_input_module(node),
        )
        self.calls.append(call)
        joined = self._find_joined(node.args[0])
        if len(joined) > 1 and None not in joined:
            self.joins.append(Join(frozenset(one for one in joined if one), call.name))

    def _find_input_module(self, node: fx.Node) -> str:
        """Return the path of the module that computes a layer's input."""
        source = node.args[0]
        while isinstance(source, fx.Node) and get_operator_name(source) in (*_RELUS, *TRANSPARENT):
            source = source.args[0]
        return get_module_path(source) if isinstance(source, fx.Node) else ""

    def _find_joined(self, value: Any) -> list[str | None]:
        """Return the calls whose outputs a value consists of, None for a part that is no output of a layer."""
        moved = find_moved(value)
        if isinstance(moved, fx.Node) and get_operator_name(moved) in ("cat", "concat"):
            parts: Sequence[Any] = moved.args[0]  # type: ignore[assignment]
            return [call for part in parts for call in self._find_joined(part)]
        return [self.rounded.get(moved)]

    # -- Channels ------------------------------------------------------------------------------------------------------

    def _get_channels(self, value: Any) -> _Channels | None:
        found = self.channels.get(value) if isinstance(value, fx.Node) else None
        return found if isinstance(found, _Channels) else None

    def _fix(self, values: Iterable[Any]) -> None:
        """Note that the channels of these values must not be scaled."""
        for value in values:
            known = self.channels.get(value)
            for one in known if isinstance(known, list) else [known]:
                self.fixed += one.segments if one else ()

    def _read_layer(self, node: fx.Node, layer: str, kind: CallKind) -> _Channels:
        read, shape, weight = self._get_channels(node.args[0]), _get_shape(node.args[0]), _get_shape(node.args[1])
        axis = len(shape) - (len(weight) - 1 if kind == "conv" else 1)
        groups = _get_groups(node) if kind == "conv" else 1
        scalable = self._is_scalable(node)
        if read is not None:
            depthwise = groups == shape[axis] == weight[0]
            if scalable and read.axis == axis and (groups == 1 or depthwise):
                at = 0
                for segment in read.segments:
                    if segment.layer is not None:
                        self.uses.append(_Use(segment, layer, at))
                    at += segment.size
            else:
                self._fix([node.args[0]])
        return _Channels(axis, (_Segment(layer if scalable else None, 0, weight[0]),))

    def _is_scalable(self, node: fx.Node) -> bool:
        """Return whether a layer alone uses its weight, and its bias is a parameter of its own."""
        bias = get_argument(node, 2, "bias")
        own = self._find_layer(node)
        known = bias is None or self.parameters.get(bias.name) == f"{own}.bias".lstrip(".")
        return known and len(node.args[1].users) == 1  # type: ignore[union-attr]

    def _follow(self, node: fx.Node, name: str) -> _Channels | list[_Channels] | None:
        """Return the channels of an operator's output; those of its inputs are fixed where scale would change it."""
        if node.target is operator.getitem:
            known = self.channels.get(node.args[0])  # type: ignore[arg-type]
            # A pool that tells positions, too, has its values first.
            return known[node.args[1]] if isinstance(known, list) else None if node.args[1] else known  # type: ignore
        follow: Callable[[fx.Node], _Channels | list[_Channels] | None] | None = None
        if name.endswith("_") and len(node.all_input_nodes[0].users) > 1:
            self._fix(node.all_input_nodes)  # another operator reads the value that this one changes
        if name in _HOMOGENEOUS:
            return self._get_channels(node.args[0])
        for names, candidate in (
            (_SPATIAL, self._follow_spatial),
            (("mean",), self._follow_mean),
            (_RESHAPES, self._follow_reshape),
            (("transpose", "permute"), self._follow_permutation),
            (("split", "split_with_sizes", "chunk"), self._follow_split),
            (("slice",), self._follow_slice),
            (("cat",), self._follow_concatenation),
            (("mul", "mul_", "div", "div_"), self._follow_scaling),
            (PADS, self._follow_padding),
            (_PRODUCTS, self._follow_product),
        ):
            if name in names:
                follow = candidate
        result = follow(node) if follow else None
        if result is None and name not in _PRODUCTS:
            self._fix(node.all_input_nodes)
        return result

    def _follow_spatial(self, node: fx.Node) -> _Channels | None:
        known, rank = self._get_channels(node.args[0]), len(_get_shape(node.args[0]))
        return known if known and known.axis < rank - _SPATIAL[get_operator_name(node)] else None

    def _follow_mean(self, node: fx.Node) -> _Channels | None:
        known, rank = self._get_channels(node.args[0]), len(_get_shape(node.args[0]))
        axes = [axis % rank for axis in get_argument(node, 1, "dim") or range(rank)]
        if known is None or known.axis in axes:
            return None
        kept = len(_get_shape(node)) == rank
        return known._replace(axis=known.axis if kept else known.axis - sum(int(axis) < known.axis for axis in axes))

    def _follow_reshape(self, node: fx.Node) -> _Channels | None:
        known, before, after = self._get_channels(node.args[0]), _get_shape(node.args[0]), _get_shape(node)
        if known is None:
            return None
        size, outer = before[known.axis], math.prod(before[: known.axis])
        axes = [axis for axis, count in enumerate(after) if count == size and math.prod(after[:axis]) == outer]
        return known._replace(axis=axes[-1]) if axes and size > 1 else None

    def _follow_permutation(self, node: fx.Node) -> _Channels | None:
        known, rank = self._get_channels(node.args[0]), len(_get_shape(node))
        if known is None:
            return None
        order = list(range(rank))
        if get_operator_name(node) == "transpose":
            one, other = (int(axis) % rank for axis in node.args[1:3])  # type: ignore[arg-type]
            order[one], order[other] = order[other], order[one]
        else:
            order = [int(axis) % rank for axis in node.args[1]]  # type: ignore
        return known._replace(axis=order.index(known.axis))

    def _follow_split(self, node: fx.Node) -> list[_Channels] | None:
        known, rank = self._get_channels(node.args[0]), len(_get_shape(node.args[0]))
        if known is None:
            return None
        axis = int(get_argument(node, 2, "dim", 0)) % rank
        if axis != known.axis:
            return [known for _ in node.meta["val"]]
        parts, at = [], 0
        for value in node.meta["val"]:
            count = value.shape[axis]
            parts.append(known._replace(segments=tuple(_slice_segments(known.segments, at, at + count))))
            at += count
        return parts

    def _follow_slice(self, node: fx.Node) -> _Channels | None:
        known, shape = self._get_channels(node.args[0]), _get_shape(node.args[0])
        axis = int(get_argument(node, 1, "dim", 0)) % len(shape)
        if known is None or axis != known.axis:
            return known
        start, stop = get_argument(node, 2, "start", 0), get_argument(node, 3, "end", None)
        start, stop, step = slice(start, stop, get_argument(node, 4, "step", 1)).indices(shape[axis])
        return known._replace(segments=tuple(_slice_segments(known.segments, start, stop))) if step == 1 else None

    def _follow_concatenation(self, node: fx.Node) -> _Channels | None:
        values: Sequence[Any] = node.args[0]  # type: ignore[assignment]
        axis = int(get_argument(node, 1, "dim", 0)) % len(_get_shape(node))
        known = [self._get_channels(value) for value in values]
        if not any(known) or any(one and one.axis != axis for one in known):
            return None
        segments = [
            one.segments if one else (_Segment(None, 0, _get_shape(value)[axis]),)
            for one, value in zip(known, values, strict=True)
        ]
        return _Channels(axis, tuple(segment for part in segments for segment in part))

    def _follow_scaling(self, node: fx.Node) -> _Channels | None:
        known = [(value, self._get_channels(value)) for value in node.args[:2]]
        scaled = [(value, one) for value, one in known if one is not None]
        divides = get_operator_name(node).startswith("div")
        rounds = get_argument(node, 2, "rounding_mode") is not None
        if len(scaled) != 1 or (divides and (rounds or scaled[0][0] is not node.args[0])):
            return None
        value, channels = scaled[0]
        before, after = _get_shape(value), _get_shape(node)
        # A single channel may be multiplied with many.
        return channels if len(before) == len(after) and before[channels.axis] == after[channels.axis] else None

    def _follow_padding(self, node: fx.Node) -> _Channels | None:
        known, rank = self._get_channels(node.args[0]), len(_get_shape(node))
        widths: Sequence[int] = node.args[1]  # type: ignore[assignment]
        padded = {rank - 1 - number // 2 for number, width in enumerate(widths) if width}
        adds_constant = get_padding_value(node) and not isinstance(get_padding_value(node), str)
        return None if adds_constant or (known and known.axis in padded) else known

    def _follow_product(self, node: fx.Node) -> _Channels | None:
        left, right = node.args[:2]
        one, other = self._get_channels(left), self._get_channels(right)
        last, before_last = len(_get_shape(left)) - 1, len(_get_shape(right)) - 2
        if last < 1 or before_last < 0:  # a vector has no channels that stay
            self._fix([left, right])
            return None
        if one and other and one.axis == last and other.axis == before_last:
            # Every product of a channel on the left and one on the right: their scales have to cancel.
            self.products += _align_segments(one.segments, other.segments)
            return None
        rank = len(_get_shape(node))
        if one and one.axis == last - 1:
            self._fix([right])
            return one._replace(axis=rank - 2)
        if other and other.axis == before_last + 1:
            self._fix([left])
            return other._replace(axis=rank - 1)
        self._fix([left, right])
        return None

    # -- Groups --------------------------------------------------------------------------------------------------------

    def _list_groups(self) -> Iterator[EqualizationGroup]:
        repeated = {get_layer_path(name) for name in self.counts if self.counts[name] > 1}
        order = {call.name: index for index, call in enumerate(self.calls)}
        fixed, uses, against = (defaultdict[str, list[Any]](list) for _ in range(3))
        for segment in self.fixed:
            if segment.layer is not None:
                fixed[segment.layer].append(segment)
        for use in self.uses:
            if use.segment.layer is not None:
                uses[use.segment.layer].append(use)
        for one, other in self.products:
            for mine, theirs in ((one, other), (other, one)):
                if mine.layer is None or theirs.layer is None:
                    fixed[mine.layer or ""].append(mine)
                else:
                    against[mine.layer].append((mine, theirs))

        def is_free(part: ChannelSlice, partner: ChannelSlice) -> bool:
            """Return whether channels are used in products with those of `partner` alone."""
            if any(_overlaps(part, one) for one in fixed[part.layer]):
                return False
            if any(_overlaps(part, use.segment) for use in uses[part.layer]):
                return False
            meets = [pair for pair in against[part.layer] if _overlaps(part, pair[0])]
            return part != partner and all(
                (theirs.layer, theirs.start + part.start - mine.start) == (partner.layer, partner.start)
                for mine, theirs in meets
            )

        for layer in sorted({*uses, *against}, key=order.__getitem__):
            for group in _split_producer(layer, fixed[layer], uses[layer], against[layer]):
                mirrored = any(
                    (order[other.layer], other.start) < (order[layer], group.producer.start)
                    for other in group.inverse_producers
                )
                cancels = all(is_free(part, group.producer) for part in group.inverse_producers)
                again = repeated.intersection(map(get_layer_path, group.layers))
                if cancels and not mirrored and not again:
                    yield group


def _split_producer(
    layer: str, fixed: list[_Segment], uses: list[_Use], against: list[tuple[_Segment, _Segment]]
) -> Iterator[EqualizationGroup]:
    """Yield the groups of one producer: the longest runs of channels that are used in the same way."""
    found = [*fixed, *(use.segment for use in uses), *(mine for mine, _ in against)]
    ends = sorted({end for one in found for end in (one.start, one.start + one.size)})
    for start, stop in pairwise(ends):

        def covers(segment: _Segment, start: int = start) -> bool:
            return segment.start <= start < segment.start + segment.size

        if any(covers(one) for one in fixed):
            continue
        consumers = dict.fromkeys(
            ChannelSlice(use.consumer, use.at + start - use.segment.start, use.at + stop - use.segment.start)
            for use in uses
            if covers(use.segment)
        )
        inverse = dict.fromkeys(
            ChannelSlice(theirs.layer or "", theirs.start + start - mine.start, theirs.start + stop - mine.start)
            for mine, theirs in against
            if covers(mine)
        )
        if consumers or inverse:
            yield EqualizationGroup(ChannelSlice(layer, start, stop), tuple(consumers), tuple(inverse))


def _overlaps(part: ChannelSlice, segment: _Segment) -> bool:
    """Return whether channels and a segment of the same layer have any in common."""
    return part.start < segment.start + segment.size and (part.stop is None or segment.start < part.stop)


def _slice_segments(segments: Iterable[_Segment], start: int, stop: int) -> Iterator[_Segment]:
    """Yield the parts of segments between two positions."""
    at = 0
    for segment in segments:
        low, high = max(start, at), min(stop, at + segment.size)
        if low < high:
            yield segment._replace(start=segment.start + low - at, size=high - low)
        at += segment.size


def _align_segments(left: Sequence[_Segment], right: Sequence[_Segment]) -> list[tuple[_Segment, _Segment]]:
    """Cut two sequences of segments at the ends of both, and pair what lies at the same place."""
    ends = {0}
    for segments in (left, right):
        at = 0
        for segment in segments:
            at += segment.size
            ends.add(at)
    places = sorted(ends)
    return [
        (one, other)
        for start, stop in pairwise(places)
        for one, other in zip(_slice_segments(left, start, stop), _slice_segments(right, start, stop), strict=True)
    ]


def _get_shape(value: Any) -> tuple[int, ...]:
    return tuple(value.meta["val"].shape)


def _get_groups(node: fx.Node) -> int:
    return int(get_argument(node, 6, "groups", 1))


def _count_positions(node: fx.Node, kind: CallKind) -> int:
    shape = _get_shape(node)
    return math.prod(shape[2:] if kind == "conv" else shape[1:-1] if kind == "linear" else ())
