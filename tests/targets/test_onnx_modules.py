"""Any module becomes a small ONNX graph named after its layers; layers of every kind become int8."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import ActivationRange
from shvit_mobile.metrics import sqnr
from shvit_mobile.quantize.affine import WEIGHT_SCALE, choose_affine_parameters, quantize_weight
from shvit_mobile.targets.onnx import exporter, float_graph
from shvit_mobile.targets.onnx.exporter import convert_opset
from shvit_mobile.targets.onnx.float_graph import compute_structure_hash, export_float_graph, fill_graph
from shvit_mobile.targets.onnx.int8 import quantize_layers

SHAPE = (3, 24, 16)


class Block(nn.Module):
    """Convolutions and linear layers as other families have them: over positions, without bias, called twice."""

    def __init__(self, *, inplace: bool = False, groups: int = 1) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(inplace=inplace))
        self.bare = nn.Conv2d(8, 8, 1, bias=False, groups=groups)
        self.gate = nn.Conv2d(8, 8, 1)
        self.norm = nn.LayerNorm(8)
        self.group_norm = nn.GroupNorm(1, 8)
        self.wide = nn.Linear(8, 12)
        self.act = nn.GELU()
        self.narrow = nn.Linear(12, 8, bias=False)
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        x = x + self.bare(x)
        x = x + self.bare(self.group_norm(x)) * self.gate(x).sigmoid()
        batch, channels, height, width = x.shape
        tokens = x.reshape(batch, channels, height * width).transpose(1, 2)
        tokens = tokens + self.narrow(self.act(self.wide(self.norm(tokens))))
        pooled = tokens.transpose(1, 2).reshape(batch, channels, height, width).mean((2, 3))
        return self.head(pooled)


class Normalized(nn.Module):
    """A BatchNorm, which ONNX's translator only takes after decomposition."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)

    def forward(self, images: Tensor) -> Tensor:
        return self.bn(self.conv(images)).mean((2, 3))


def randomize(module: nn.Module, seed: int = 0) -> nn.Module:
    """`module` in eval mode, with norms and statistics far from the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                low = 0.5 if name.endswith(("norm.weight", "bn.weight", "running_var")) else -0.5
                tensor.uniform_(low, low + 1, generator=generator)
    return module.eval()


def write_model(module: nn.Module, batch: int | str = "batch") -> onnx.ModelProto:
    return fill_graph(export_float_graph(module, SHAPE, names=("images", "logits"), batch=batch), module)


def draw_images(count: int = 3) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(7))


def run_model(
    model: onnx.ModelProto, images: Tensor, optimized: Path | None = None, *, as_written: bool = False
) -> NDArray[np.float32]:
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    if optimized:
        options.optimized_model_filepath = str(optimized)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    logits: NDArray[np.float32] = session.run(["logits"], {"images": images.numpy()})[0]
    return logits


@torch.no_grad()
def compute_expected(module: nn.Module, images: Tensor) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = module(images).numpy()
    return logits


@torch.no_grad()
def observe(module: nn.Module) -> dict[str, ActivationRange]:
    """The ranges of all convolutions and linear layers, over all of their calls."""
    ranges: dict[str, ActivationRange] = {}

    def note(name: str, given: Tensor, output: Tensor) -> None:
        values = [(float(value.amin()), float(value.amax())) for value in (given, output)]
        if name in ranges:
            known = (ranges[name].input, ranges[name].output)
            values = [(min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(known, values, strict=True)]
        ranges[name] = ActivationRange(input=values[0], output=values[1])

    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(lambda _, given, output, name=name: note(name, given[0], output))
    module(draw_images(16))
    for layer in module.modules():
        layer._forward_hooks.clear()
    return ranges


@pytest.mark.parametrize("inplace", [False, True])
def test_a_module_answers_as_in_torch_for_any_batch(inplace: bool) -> None:
    module = randomize(Block(inplace=inplace))
    model = write_model(module)
    for count in (1, 3):
        assert sqnr(compute_expected(module, draw_images(count)), run_model(model, draw_images(count))) > 90


def test_operators_that_need_decomposition_are_decomposed() -> None:
    module = randomize(Normalized())
    assert sqnr(compute_expected(module, draw_images()), run_model(write_model(module), draw_images())) > 90


def test_no_shape_is_computed_when_the_model_runs() -> None:
    operators = Counter(node.op_type for node in write_model(randomize(Block())).graph.node)
    assert not {"Shape", "Gather", "Unsqueeze", "Constant", "Cast", "Identity"} & set(operators)
    assert operators["GlobalAveragePool"] == 0, "a mean that drops its axes is no pooling"
    assert operators["Mul"] == 1 + 1 + 2, "the gate, the affine of the group norm and GELU"


def test_nodes_and_weights_are_called_after_layers() -> None:
    graph = write_model(randomize(Block())).graph
    nodes = {node.name: node.op_type for node in graph.node}
    for name, operator in {
        "stem.0": "Conv",
        "stem.0.relu": "Relu",
        "bare": "Conv",
        "bare@2": "Conv",
        "gate.sigmoid": "Sigmoid",
        ".add": "Add",
        "@2.add": "Add",
        "@3.add": "Add",
        "norm": "LayerNormalization",
        "wide.product": "MatMul",
        "wide": "Add",
        "narrow": "MatMul",
        "head": "Gemm",
    }.items():
        assert nodes[name] == operator, name
    assert {"stem.0.weight", "bare.weight", "wide.bias", "head.bias"} <= {given.name for given in graph.initializer}
    assert all(node.output[0] == node.name for node in graph.node if len(node.output) == 1 and node.name != "head")


def test_nothing_of_this_machine_is_in_the_file() -> None:
    model = write_model(randomize(Block()))
    content = model.SerializeToString()
    here = Path(__file__).resolve()
    for text in (here.name, str(here.parents[2]), torch.__file__, "site-packages", "name_scopes"):
        assert text.encode() not in content
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_a_module_in_another_dtype_is_exported_in_float32_and_stays_as_it_is() -> None:
    module = randomize(Block()).double()
    model = write_model(module)
    assert module.head.weight.dtype == torch.float64
    reference = compute_expected(module, draw_images().double())
    assert sqnr(reference.astype(np.float32), run_model(model, draw_images())) > 90


def test_a_later_opset_answers_the_same() -> None:
    module = randomize(Block())
    model = convert_opset(write_model(module), 22)
    assert [entry.version for entry in model.opset_import] == [22]
    np.testing.assert_array_equal(run_model(model, draw_images()), run_model(write_model(module), draw_images()))


def test_weights_of_the_same_structure_take_one_export(monkeypatch: pytest.MonkeyPatch) -> None:
    count, export = Counter[str](), exporter.export_module

    def counted(*args: object, **options: object) -> onnx.ModelProto:
        count["exports"] += 1
        return export(*args, **options)

    monkeypatch.setattr(exporter, "export_module", counted)
    monkeypatch.setattr(float_graph, "_kept_graphs", type(float_graph._kept_graphs)())
    first, second = randomize(Block()), randomize(Block(), seed=1)
    second.bare.register_buffer(WEIGHT_SCALE, torch.ones(8))
    answers = [run_model(write_model(module), draw_images()) for module in (first, second)]
    assert count["exports"] == 1
    for module, answer in zip((first, second), answers, strict=True):
        assert sqnr(compute_expected(module, draw_images()), answer) > 90
    write_model(first, batch=1)
    assert count["exports"] == 2


class Remembering(nn.Module):
    """Keeps a product of its parameter until train mode, as timm's attention does."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.kept = nn.Parameter(torch.ones(3)), {}

    def train(self, mode: bool = True) -> nn.Module:
        if mode:
            self.kept = {}
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        if "twice" not in self.kept:
            self.kept["twice"] = 2 * self.scale
        return images.mean((2, 3)) * self.kept["twice"]


@torch.no_grad()
def test_a_value_that_a_module_keeps_of_its_parameters_is_not_baked_in() -> None:
    module = randomize(Remembering())
    unused = compute_structure_hash(float_graph.copy_as_float32(module))
    module(draw_images())
    assert compute_structure_hash(float_graph.copy_as_float32(module)) == unused
    assert module.kept, "the module itself stays as it is"
    module.scale.add_(1)
    expected = draw_images().mean((2, 3)).numpy() * 2 * module.scale.numpy()
    assert sqnr(expected, run_model(write_model(module), draw_images())) > 90


def change_epsilon(module: nn.Module) -> None:
    module.norm.eps = 0.5


def change_forward(module: nn.Module) -> None:
    module.act = nn.ReLU()


def change_shape(module: nn.Module) -> None:
    module.head = nn.Linear(8, 4)


@pytest.mark.parametrize("change", [change_epsilon, change_forward, change_shape])
def test_another_structure_has_another_hash(change: object) -> None:
    module, other = randomize(Block()), randomize(Block(), seed=1)
    assert compute_structure_hash(module) == compute_structure_hash(other)
    change(other)  # type: ignore[operator]
    assert compute_structure_hash(module) != compute_structure_hash(other)


def test_a_module_that_cannot_be_pickled_is_exported_too() -> None:
    module = randomize(Block())
    module.act.note = lambda: None
    assert compute_structure_hash(module) is None
    assert sqnr(compute_expected(module, draw_images()), run_model(write_model(module), draw_images())) > 90


def test_every_kind_of_layer_becomes_int8(tmp_path: Path) -> None:
    module = randomize(Block())
    model, ranges = write_model(module), observe(module)
    quantize_layers(model.graph, module, ranges)
    answer = run_model(model, draw_images(), tmp_path / "optimized.onnx")
    assert 20 < sqnr(compute_expected(module, draw_images()), answer) < 70
    operators = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert (operators["MatMulIntegerToFloat"], operators["QLinearMatMul"]) == (1, 1), "with a bias and without"
    assert operators["QLinearConv"] > 0
    constants = {given.name: numpy_helper.to_array(given) for given in model.graph.initializer}
    assert not {f"{name}.weight" for name in ranges} & set(constants)
    assert not any(name.startswith("bare@2.weight") for name in constants), "the second call has the first one's weight"
    for name in ("stem.0", "bare", "wide", "narrow", "head"):
        integers, scales = quantize_weight(module.get_submodule(name).weight)
        expected = integers.numpy().T if name in ("wide", "narrow") else integers.numpy()
        np.testing.assert_array_equal(constants[f"{name}.weight.int8"], expected)
        np.testing.assert_array_equal(constants[f"{name}.weight.scale"], scales.numpy())


class Moved(nn.Module):
    """A linear layer that reads the output of a convolution at other positions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.conv(images).flatten(2).transpose(1, 2)).mean(1)


def test_integers_that_were_moved_are_not_rounded_to_others() -> None:
    module = randomize(Moved())
    model, ranges = write_model(module), observe(module)
    ranges["linear"] = ranges["linear"].model_copy(update={"input": (0.0, 999.0)})
    quantize_layers(model.graph, module, ranges)
    constants = {given.name: numpy_helper.to_array(given) for given in model.graph.initializer}
    parameters = choose_affine_parameters(*ranges["conv"].output)
    assert constants["linear.input.scale"] == np.float32(parameters.scale)
    assert constants["linear.input.zero_point"] == parameters.zero_point
    assert sqnr(compute_expected(module, draw_images()), run_model(model, draw_images())) > 20


def test_a_layer_that_the_graph_lacks_is_an_error() -> None:
    module = randomize(Block())
    with pytest.raises(ValueError, match="no layer nowhere"):
        quantize_layers(write_model(module).graph, module, {"nowhere": ActivationRange(input=(0, 1), output=(0, 1))})


class InvertedResidual(nn.Module):
    """The block of MobileNets, whose depthwise convolutions are float, with a sum that reads what a layer reads."""

    def __init__(self, act: type[nn.Module] = nn.ReLU6, groups: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.expand, self.act = nn.Conv2d(8, 16, 1), act()
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=groups)
        self.project, self.head = nn.Conv2d(16, 8, 1), nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        x = x + self.project(self.act(self.depthwise(self.act(self.expand(x)))))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("groups", [16, 8])
@pytest.mark.parametrize("act", [nn.ReLU6, nn.ReLU, nn.Identity])
def test_onnx_runtime_fuses_the_layers_in_int8_and_no_others(act: type[nn.Module], groups: int, tmp_path: Path) -> None:
    module = randomize(InvertedResidual(act, groups))
    # With one scale for all of its channels, these weights would be wrong.
    module.get_parameter("depthwise.weight").data *= torch.logspace(-3, 0, 16).view(-1, 1, 1, 1)
    ranges = {name: found for name, found in observe(module).items() if name not in ("depthwise", "head")}
    ends = module.act(torch.tensor(ranges["expand"].output)).tolist()
    ranges["expand"] = ranges["expand"].model_copy(update={"output": ends})
    model = write_model(module)
    quantize_layers(model.graph, module, ranges)
    optimized = run_model(model, draw_images(), tmp_path / "optimized.onnx")
    graph = onnx.load(tmp_path / "optimized.onnx").graph
    assert Counter(node.op_type for node in graph.node)["QLinearConv"] == len(ranges)
    assert not [given.name for given in graph.initializer if given.name.startswith("depthwise_weight")]
    assert sqnr(run_model(model, draw_images(), as_written=True), optimized) > 40
    assert sqnr(compute_expected(module, draw_images()), optimized) > 20
    constants = {given.name: numpy_helper.to_array(given) for given in model.graph.initializer}
    parameters = choose_affine_parameters(*ranges["stem"].output)
    assert constants["stem.output.scale"] == np.float32(parameters.scale)
    assert constants["stem.output.zero_point"] == np.uint8(parameters.zero_point + 128)


def test_integers_are_signed_where_no_value_has_several_readers() -> None:
    module = randomize(Moved())
    model, ranges = write_model(module), observe(module)
    quantize_layers(model.graph, module, ranges)
    zero_points = [numpy_helper.to_array(one) for one in model.graph.initializer if one.name.endswith("zero_point")]
    assert {one.dtype.name for one in zero_points} == {"int8"}
