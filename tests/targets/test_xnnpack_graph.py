"""An XNNPACK graph loses permutations that undo each other and relus that integers imply, and answers the same."""

from pathlib import Path
from typing import Any

import pytest
import torch
from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import (
    OutputMinMax,
    PerTensorQuant,
    XNNClamp,
    XNNConvert,
    XNNDatatype,
    XNNGraph,
    XNNNode1x1,
    XNNQuantizedTensorValue,
    XNNSigmoid,
    XNNStaticConstantPad,
    XNNStaticTranspose,
    XNNTensorValue,
    XNode,
    XValue,
)
from executorch.runtime import Runtime
from torch import Tensor, nn

from shvit_mobile.targets.executorch import lower_to_program
from shvit_mobile.targets.pte import inspect_program
from shvit_mobile.targets.xnnpack_graph import simplify_graph

SHAPE = (1, 5, 6, 7)


def build_value(number: int, *, zero_point: int | None = None) -> XValue:
    tensor = XNNTensorValue(
        XNNDatatype.xnn_datatype_fp32 if zero_point is None else XNNDatatype.xnn_datatype_qint8,
        4, list(SHAPE), 0, 0, 0, number,
    )  # fmt: skip
    return XValue(tensor if zero_point is None else XNNQuantizedTensorValue(tensor, PerTensorQuant(0.5, zero_point)))


def build_graph(nodes: list[Any], outputs: list[int], zero_points: dict[int, int]) -> XNNGraph:
    numbers = range(1 + max(node.output_id for node in nodes))
    values = [build_value(number, zero_point=zero_points.get(number)) for number in numbers]
    limits = OutputMinMax(0, "+inf")
    xnodes = [XNode(node, 0, limits if isinstance(node, XNNClamp) else None) for node in nodes]
    return XNNGraph("0", xnodes, values, 1 + len(outputs), [0], outputs, [])


def list_nodes(graph: XNNGraph) -> list[tuple[type[XNNNode1x1], int, int]]:
    return [(type(one.xnode_union), one.xnode_union.input_id, one.xnode_union.output_id) for one in graph.xnodes]


@pytest.mark.parametrize(("zero_point", "is_dropped"), [(-128, True), (-127, False), (0, False)])
def test_a_relu_is_dropped_where_the_smallest_integer_is_zero(zero_point: int, is_dropped: bool) -> None:
    graph = build_graph([XNNClamp(0, 1, 0), XNNConvert(1, 2, 0)], [2], {2: zero_point})
    simplify_graph(graph)
    kept = [(XNNClamp, 0, 1), (XNNConvert, 1, 2)]
    assert list_nodes(graph) == ([(XNNConvert, 0, 2)] if is_dropped else kept)
    assert len(graph.xvalues) == (2 if is_dropped else 3)


def test_a_relu_stays_where_something_else_reads_it() -> None:
    graph = build_graph([XNNClamp(0, 1, 0), XNNConvert(1, 2, 0), XNNSigmoid(1, 3, 0)], [2, 3], {2: -128})
    simplify_graph(graph)
    assert len(graph.xnodes) == 3
    graph = build_graph([XNNClamp(0, 1, 0), XNNConvert(1, 2, 0)], [1, 2], {2: -128})
    simplify_graph(graph)
    assert len(graph.xnodes) == 2


def test_a_limit_above_zero_stays() -> None:
    graph = build_graph([XNNClamp(0, 1, 0), XNNConvert(1, 2, 0)], [2], {2: -128})
    graph.xnodes[0].output_min_max = OutputMinMax(0, 6)
    simplify_graph(graph)
    assert len(graph.xnodes) == 2


@pytest.mark.parametrize(("zero_point", "is_moved"), [(3, True), (4, False)])
def test_a_move_between_the_same_integers_moves_them(zero_point: int, is_moved: bool) -> None:
    pad = XNNStaticConstantPad([0] * 4, [0] * 4, 1.5, 1, 2, 0)
    graph = build_graph([XNNConvert(0, 1, 0), pad, XNNConvert(2, 3, 0)], [3], {0: 3, 3: zero_point})
    simplify_graph(graph)
    kept = [(XNNConvert, 0, 1), (XNNStaticConstantPad, 1, 2), (XNNConvert, 2, 3)]
    assert list_nodes(graph) == ([(XNNStaticConstantPad, 0, 3)] if is_moved else kept)


def test_a_permutation_whose_result_is_an_output_stays() -> None:
    first, second = XNNStaticTranspose(4, [0, 2, 3, 1], 0, 1, 0), XNNStaticTranspose(4, [0, 3, 1, 2], 1, 2, 0)
    graph = build_graph([first, second], [1, 2], {})
    simplify_graph(graph)
    # The second moves nothing any more, and writes the output.
    assert list_nodes(graph) == [(XNNStaticTranspose, 0, 1), (XNNStaticTranspose, 0, 2)]
    assert second.perm == [0, 1, 2, 3]


class PermutingNetwork(nn.Module):
    """Convolutions with tokens between them, whose permutations undo those to channels last and back."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(5, 8, 3), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.first(x)
        tokens = features.permute(0, 2, 3, 1).reshape(1, -1, 8)
        image = torch.sigmoid(tokens).reshape(1, 4, 5, 8).permute(0, 3, 1, 2)
        # One permutation that does not undo another.
        return self.second(image + features).permute(0, 3, 2, 1)


def test_permutations_that_undo_each_other_are_dropped(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, image = PermutingNetwork().eval(), torch.randn(SHAPE)
    outputs: list[Tensor] = []
    counts: list[int] = []
    for simplified in (False, True):
        path = tmp_path / f"{simplified}.pte"
        lower_to_program(network, SHAPE, path, simplified=simplified)
        counts.append(inspect_program(path).inventory.operators["XNNStaticTranspose"])
        outputs.append(Runtime.get().load_program(path).load_method("forward").execute([image])[0].clone())
    assert torch.equal(*outputs)
    torch.testing.assert_close(outputs[0], network(image).detach(), rtol=1e-5, atol=1e-5)
    # To channels last in front of the first convolution, and what is left behind the second.
    assert (counts[0] > 5, counts[1]) == (True, 2)


class PaddingNetwork(nn.Module):
    """Maps with channels last and a pad in front of two convolutions, one of which pads its input, too."""

    def __init__(self, value: float, padding: tuple[int, ...]) -> None:
        super().__init__()
        self.value, self.padding = value, padding
        self.first, self.second = nn.Conv2d(5, 8, 3, padding=1, stride=2), nn.Conv2d(5, 5, (1, 2), groups=5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        padded = nn.functional.pad(x.permute(0, 2, 3, 1), self.padding, value=self.value).permute(0, 3, 1, 2)
        return self.first(padded), self.second(padded)


@pytest.mark.parametrize(
    ("value", "padding", "is_absorbed"),
    [
        (0.0, (0, 0, 1, 0), True),
        (0.0, (0, 0, 2, 3, 1, 4), True),
        (0.5, (0, 0, 1, 0), False),
    ],
)
def test_zeros_around_a_map_are_left_to_its_convolutions(
    value: float, padding: tuple[int, ...], is_absorbed: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network, image = PaddingNetwork(value, padding).eval(), torch.randn(SHAPE)
    outputs: list[Tensor] = []
    for simplified in (False, True):
        path = tmp_path / f"{simplified}.pte"
        lower_to_program(network, SHAPE, path, simplified=simplified)
        pads = inspect_program(path).inventory.operators.get("XNNStaticConstantPad", 0)
        assert pads == (0 if simplified and is_absorbed else 1)
        answers = Runtime.get().load_program(path).load_method("forward").execute([image])
        outputs.append(torch.cat([one.flatten() for one in answers]).clone())
    torch.testing.assert_close(*outputs, rtol=1e-6, atol=1e-6)
    expected = torch.cat([one.flatten() for one in network(image)])
    torch.testing.assert_close(outputs[1], expected.detach(), rtol=1e-5, atol=1e-5)


def test_a_pad_that_is_an_output_stays() -> None:
    graph = build_graph([XNNStaticConstantPad([0, 0, 1, 0], [0] * 4, 0.0, 0, 1, 0)], [1], {})
    simplify_graph(graph)
    assert list_nodes(graph) == [(XNNStaticConstantPad, 0, 1)]
