"""What int8 leaves in float computes in fp16 if it is asked for, and only where XNNPACK can and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from executorch.backends.xnnpack.serialization import xnnpack_graph_schema as xnn
from executorch.runtime import Runtime
from torch import Tensor, nn
from torch.nn import functional as F

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.recipe import FLOAT_KINDS, ActivationRange, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import ConflictingParameters, VerificationFailed
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.quantize.observation import observe_ranges
from shvit_mobile.runtimes.executorch import ExecuTorchRunner
from shvit_mobile.targets.capabilities import list_requirements
from shvit_mobile.targets.executorch import ExecuTorchOptions, build, lower_to_program
from shvit_mobile.targets.xnnpack_fp16 import HALF_OPERATORS, convert_graph
from tests.programs import compute_float_logits, draw_pictures, lower_program
from tests.quantize.builders import simulate_int8

SHAPE = (1, 3, 17, 22)
FP32, FP16, INT8 = (xnn.XNNDatatype[f"xnn_datatype_{name}"] for name in ("fp32", "fp16", "qint8"))
HALF = ExecuTorchOptions(float_dtype="fp16")


def build_graph(nodes: list[Any], outputs: list[int], *, scales: dict[int, float] | None = None) -> xnn.XNNGraph:
    """Build a graph in float32, whose input is 0; values with a scale are integers, those above 90 constant."""
    numbers = {getattr(node, name) for node in nodes for name in vars(node) if name.endswith("_id")}
    values = []
    for number in sorted(numbers):
        scale = (scales or {}).get(number)
        tensor = xnn.XNNTensorValue(FP32 if scale is None else INT8, 1, [5], int(number > 90), 7, 1, number)
        union = tensor if scale is None else xnn.XNNQuantizedTensorValue(tensor, xnn.PerTensorQuant(scale, 0))
        values.append(xnn.XValue(union))
    return xnn.XNNGraph("0", [xnn.XNode(node, 3) for node in nodes], values, 1 + len(outputs), [0], outputs, [])


def list_nodes(graph: xnn.XNNGraph) -> list[str]:
    """Describe each node with the numbers of its values, a star behind those in fp16."""
    half = {
        value.xvalue_union.id_out
        for value in graph.xvalues
        if isinstance(value.xvalue_union, xnn.XNNTensorValue) and value.xvalue_union.datatype == FP16
    }
    return [
        type(node.xnode_union).__name__.removeprefix("XNN")
        + "".join(
            f" {number}" + "*" * (number in half)
            for name, number in vars(node.xnode_union).items()
            if name.endswith("_id")
        )
        for node in graph.xnodes
    ]


def test_what_is_between_integers_and_the_outputs_is_in_fp16() -> None:
    nodes = [xnn.XNNConvert(0, 1, 0), xnn.XNNConvert(1, 2, 0), xnn.XNNSigmoid(2, 3, 0), xnn.XNNAdd(2, 3, 4, 0)]
    graph = build_graph([*nodes, xnn.XNNConvert(4, 5, 0), xnn.XNNConvert(5, 6, 0)], [3, 6], scales={1: 0.5, 5: 0.25})
    convert_graph(graph)
    assert list_nodes(graph) == [
        "Convert 0 1", "Convert 1 2*", "Sigmoid 2* 7*", "Convert 7* 3", "Add 2* 7* 4*", "Convert 4* 5", "Convert 5 6",
    ]  # fmt: skip
    added = graph.xvalues[-1].xvalue_union
    assert (added.external_id, added.flags, added.dims) == (2**32 - 1, 0, [5])
    assert {node.debug_handle for node in graph.xnodes} == {3}


def test_the_image_stays_in_float32_up_to_the_first_layer_which_computes_in_it() -> None:
    layer = xnn.XNNFullyConnected(3, 91, 92, 4, 0)
    nodes = [xnn.XNNStaticTranspose(1, [0], 0, 1, 0), xnn.XNNSubtract(1, 0, 2, 0), xnn.XNNClamp(2, 3, 0), layer]
    graph = build_graph([*nodes, xnn.XNNAbs(4, 5, 0), xnn.XNNNegate(4, 6, 0)], [6])
    convert_graph(graph)
    assert list_nodes(graph)[3:] == [
        "FullyConnected 3 91 92 4", "Convert 4 93*", "Abs 93* 5*", "Negate 93* 94*", "Convert 94* 6",
    ]  # fmt: skip


def test_a_later_layer_has_fp16_values_and_its_weights_stay() -> None:
    layers = [xnn.XNNFullyConnected(0, 91, 92, 1, 0), xnn.XNNFullyConnected(1, 93, 94, 2, 0)]
    graph = build_graph(layers, [2])
    convert_graph(graph)
    assert list_nodes(graph)[1:] == ["Convert 1 95*", "FullyConnected 95* 93 94 96*", "Convert 96* 2"]


@pytest.mark.parametrize(
    "node", [xnn.XNNGelu(2, 3, 0), xnn.XNNPReLU(2, 91, 3, 0), xnn.XNNFullyConnected(2, 4, 5, 3, 0)], ids=repr
)
def test_what_has_no_kernel_stays_in_float32_between_conversions(node: Any) -> None:
    before = [xnn.XNNConvert(0, 1, 0), xnn.XNNConvert(1, 2, 0), xnn.XNNAbs(2, 4, 0), xnn.XNNNegate(2, 5, 0)]
    graph = build_graph([*before, node, xnn.XNNSquare(3, 6, 0)], [6], scales={1: 0.5})
    convert_graph(graph)
    half = {number for text in list_nodes(graph) for number in text.split() if number.endswith("*")}
    assert "3*" not in half
    (found,) = [text for text in list_nodes(graph) if text.startswith(type(node).__name__.removeprefix("XNN"))]
    if isinstance(node, xnn.XNNFullyConnected):  # a filter that is no constant is a value like others
        assert found.count("*") == 0
    else:
        assert "*" not in found
    assert any(text.startswith("Convert 3 ") and text.endswith("*") for text in list_nodes(graph))


def test_an_integer_that_only_float32_reads_becomes_float32() -> None:
    graph = build_graph([xnn.XNNConvert(0, 1, 0), xnn.XNNConvert(1, 2, 0), xnn.XNNGelu(2, 3, 0)], [3], scales={1: 0.5})
    convert_graph(graph)
    assert list_nodes(graph) == ["Convert 0 1", "Convert 1 2", "Gelu 2 3"]


@pytest.mark.parametrize("scale", [2.0**-15, 2.0**-30])
def test_integers_whose_scale_fp16_cannot_hold_are_converted_in_float32(scale: float) -> None:
    nodes = [xnn.XNNConvert(0, 1, 0), xnn.XNNConvert(1, 2, 0), xnn.XNNAbs(2, 3, 0), xnn.XNNConvert(3, 4, 0)]
    graph = build_graph(nodes, [4], scales={1: scale, 4: scale})
    convert_graph(graph)
    assert list_nodes(graph) == [
        "Convert 0 1", "Convert 1 2", "Convert 2 5*", "Abs 5* 3*", "Convert 3* 6", "Convert 6 4",
    ]  # fmt: skip


@pytest.mark.parametrize(("scale", "is_held"), [(511.0, True), (520.0, False), (1e6, False)])
@pytest.mark.parametrize("number", [1, 4])
def test_integers_beyond_fp16_are_refused(number: int, scale: float, is_held: bool) -> None:
    nodes = [xnn.XNNConvert(0, 1, 0), xnn.XNNConvert(1, 2, 0), xnn.XNNAbs(2, 3, 0), xnn.XNNConvert(3, 4, 0)]
    graph = build_graph(nodes, [4], scales={1: 0.5, 4: 0.5} | {number: scale})
    if is_held:
        convert_graph(graph)
        return
    with pytest.raises(VerificationFailed, match=r"reaches .*, which is infinite in fp16") as error:
        convert_graph(graph)
    assert error.value.parameter == "float_dtype"


class Operator(nn.Module):
    """A function, or a layer, of two maps that a first layer computes."""

    def __init__(self, compute: Callable[[Tensor, Tensor], Tensor] | nn.Module) -> None:
        super().__init__()
        self.stem, self.compute = nn.Conv2d(3, 32, 3), compute

    def forward(self, x: Tensor) -> Tensor:
        maps = self.stem(x)
        return (
            self.compute(maps[:, :16])
            if isinstance(self.compute, nn.Module)
            else self.compute(maps[:, :16], maps[:, 16:])
        )


OPERATORS: dict[str, Callable[[Tensor, Tensor], Tensor] | nn.Module] = {
    "Conv2d": nn.Conv2d(16, 12, 3, groups=2),
    "DepthwiseConv2d": nn.Conv2d(16, 16, 3, 2, groups=16, bias=False),
    "ConvTranspose2d": nn.ConvTranspose2d(16, 8, 2, 2),
    "FullyConnected": nn.Linear(20, 7),
    "Add": lambda a, b: a + b,
    "Subtract": lambda a, b: a - b,
    "Multiply": lambda a, b: a * b,
    "Div": lambda a, b: a / (b.abs() + 1),
    "Maximum": torch.maximum,
    "Minimum": torch.minimum,
    "Abs": lambda a, _: a.abs(),
    "Negate": lambda a, _: -a,
    "Square": lambda a, _: a.square(),
    "SquareRoot": lambda a, _: a.abs().sqrt(),
    "ReciprocalSquareRoot": lambda a, _: (a.abs() + 0.1).rsqrt(),
    "Ceiling": lambda a, _: (8 * a).ceil(),
    "Floor": lambda a, _: (8 * a).floor(),
    "Clamp": lambda a, _: a.abs().clamp(0.2, 0.5),
    "LeakyReLU": lambda a, _: F.leaky_relu(a, 0.1),
    "Hardswish": lambda a, _: F.hardswish(4 * a),
    "Sigmoid": lambda a, _: (4 * a).sigmoid(),
    "Tanh": lambda a, _: a.tanh(),
    "Softmax": lambda a, _: (4 * a).flatten(2).softmax(-1),
    "BatchMatrixMultiply": lambda a, b: torch.bmm(a.flatten(2), b.flatten(2).transpose(1, 2)),
    "GlobalAvgPooling2d": lambda a, _: a.mean((2, 3), keepdim=True),
    "MaxPooling2d": lambda a, _: F.max_pool2d(a, 3, 2, 1),
    "StaticResizeBilinear2D": lambda a, _: F.interpolate(a, scale_factor=2, mode="bilinear"),
    "Concatenate2": lambda a, b: torch.cat([a, b], 1),
    "Concatenate3": lambda a, b: torch.cat([a, b, a], 1),
    "Concatenate4": lambda a, b: torch.cat([a, b, a, b], 1),
    "Concatenate5": lambda a, b: torch.cat([a, b, a, b, a], 1),
    "StaticConstantPad": lambda a, _: F.pad(a, (1, 2, 0, 1), value=0.7),
    "StaticReshape": lambda a, _: a.reshape(1, 32, -1),
    "StaticSlice": lambda a, _: a[:, 3:10],
    "StaticTranspose": lambda a, _: a.permute(0, 3, 1, 2),
    "Convert": lambda a, _: a,
}


def test_every_operator_for_fp16_is_tested() -> None:
    assert {f"XNN{name}" for name in OPERATORS} == {operator.__name__ for operator in HALF_OPERATORS}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_computes_in_fp16_what_it_does_in_float32(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network, image = Operator(OPERATORS[name]).eval(), torch.randn(SHAPE)
    computed: list[str] = []

    def convert_and_list(graph: xnn.XNNGraph) -> None:
        convert_graph(graph)
        computed.extend(list_nodes(graph))

    monkeypatch.setattr("shvit_mobile.targets.xnnpack_fp16.convert_graph", convert_and_list)
    lower_to_program(network, SHAPE, tmp_path / "half.pte", float_dtype="fp16")
    assert [text for text in computed if text.startswith(f"{name} ") and "*" in text]
    method = Runtime.get().load_program(tmp_path / "half.pte").load_method("forward")
    reference, actual = network(image).detach(), method.execute([image])[0]
    assert actual.dtype == torch.float32
    # A value next to a step becomes another integer.
    assert sqnr(reference.flatten(1).numpy(), actual.flatten(1).numpy()) > (35 if name in ("Ceiling", "Floor") else 55)


def lower_half(deployed: DeployForm, recipe: Recipe, folder: Path, **options: Any) -> Artifact:
    return lower(deployed, recipe, "executorch", folder, options=ExecuTorchOptions(float_dtype="fp16", **options))


@pytest.mark.parametrize(
    ("precision", "options"),
    [("int8", {}), ("int8", {"stem": "space-to-depth"}), ("int8", {"head": "int8-dynamic"}), ("int8-dynamic", {})],
    ids=str,
)
def test_a_program_with_fp16_answers_as_with_float32(precision: Any, options: dict[str, Any], tmp_path: Path) -> None:
    plain, pixels = lower_program(precision, **options), draw_pictures(16)
    artifact = lower_half(plain.deployed, plain.recipe, tmp_path, **options)
    reference, before = compute_float_logits(plain.deployed, pixels), ExecuTorchRunner(plain.artifact).run(pixels)
    after = ExecuTorchRunner(artifact).run(pixels)
    assert 30 < sqnr(before, after) < 80, "another program, and nearly the same answers"
    assert sqnr(reference, after) > sqnr(reference, before) - 1.5
    manifest = artifact.manifest
    assert manifest.artifact.name == plain.artifact.path.name.replace(".pte", "-fp16.pte")
    assert manifest.options == plain.artifact.manifest.options | {"float_dtype": "fp16"}
    assert manifest.inventory.weight_bytes == plain.artifact.manifest.inventory.weight_bytes
    assert manifest.delegation is not None
    assert (manifest.delegation.delegates, manifest.delegation.left_operators) == (1, {})
    assert manifest.golden is not None
    assert plain.artifact.manifest.golden is not None
    assert manifest.golden.tolerance > 2 * plain.artifact.manifest.golden.tolerance, "phones add in fp16"
    assert "fp16 arithmetic" in list_requirements(manifest)[0]
    assert not list_requirements(plain.artifact.manifest)


def test_it_is_as_near_to_the_simulation_as_with_float32(tmp_path: Path) -> None:
    plain, pixels = lower_program("int8"), draw_pictures(16)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        simulated = simulate_int8(plain.deployed, plain.recipe)(images).numpy()
    before = sqnr(simulated, ExecuTorchRunner(plain.artifact).run(pixels))
    assert (
        sqnr(simulated, ExecuTorchRunner(lower_half(plain.deployed, plain.recipe, tmp_path)).run(pixels)) > before - 2
    )


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    plain = lower_program("int8")
    for name in ("one", "two"):
        build(plain.deployed, plain.recipe, tmp_path / name, HALF)
    assert compute_sha256(tmp_path / "one") == compute_sha256(tmp_path / "two")
    assert compute_sha256(tmp_path / "one") != plain.artifact.manifest.artifact.sha256


def test_sizes_share_weights_in_fp16_too(tmp_path: Path) -> None:
    plain = lower_program("int8")
    size = (64, 80)
    artifact = lower_half(plain.deployed, plain.recipe, tmp_path, more_sizes=(size,))
    assert artifact.path.name.endswith("-fp16-and-64x80.pte")
    assert artifact.manifest.inventory.weight_bytes["int8"] < 1.1 * sum(
        layer.weight.numel() for layer in plain.deployed.module.modules() if isinstance(layer, nn.Conv2d)
    )
    pixels = draw_pictures(8, size)
    assert sqnr(compute_float_logits(plain.deployed.resize(size), pixels), ExecuTorchRunner(artifact).run(pixels)) > 18


def test_a_first_layer_in_float_sees_pixels_that_were_not_rounded(tmp_path: Path) -> None:
    plain, pixels = lower_program("int8"), draw_pictures(16)
    recipe = plain.recipe.model_copy(update={"float_layers": ("patch_embed.0",)})
    before = ExecuTorchRunner(lower(plain.deployed, recipe, "executorch", tmp_path / "fp32")).run(pixels)
    after = ExecuTorchRunner(lower_half(plain.deployed, recipe, tmp_path / "fp16")).run(pixels)
    assert sqnr(before, after) > 35


@pytest.mark.parametrize(
    ("layer", "factor", "words"),
    [
        ("head", 7e4, "not finite"),
        ("patch_embed.6", 1e5, "range of a layer reaches .* infinite in fp16"),
        ("stages.0.blocks.0.conv", 1e9, r"stages\.0\.blocks\.0\.conv\.weight reaches .* infinite in fp16"),
    ],
)
def test_values_that_are_too_large_for_fp16_make_no_program(
    layer: str, factor: float, words: str, tmp_path: Path
) -> None:
    plain = lower_program("int8").deployed
    module = deepcopy(plain.module)
    with torch.no_grad():
        module.get_submodule(layer).get_parameter("weight").mul_(factor)
    deployed, ranges = plain.replace_module(module), dict[str, ActivationRange]()
    with observe_ranges(deployed.module, deployed.wiring, ranges):
        deployed.run(draw_pictures(8))
    recipe = Recipe(precision="int8", float_kinds=FLOAT_KINDS, observer="min-max", ranges=ranges)
    with pytest.raises(VerificationFailed, match=words) as error:
        lower_half(deployed, recipe, tmp_path)
    assert error.value.parameter == "float_dtype"
    assert not list(tmp_path.iterdir())
    lower(deployed, recipe, "executorch", tmp_path)


def test_it_needs_int8_and_xnnpack(tmp_path: Path) -> None:
    for precision in ("fp32", "fp16"):
        with pytest.raises(ConflictingParameters, match="float_dtype") as error:
            build(lower_program("fp32").deployed, Recipe(precision=precision), tmp_path / "m.pte", HALF)
        assert error.value.parameter == "float_dtype"
    for delegate in ("coreml", "vulkan"):
        with pytest.raises(ConflictingParameters) as error:
            ExecuTorchOptions(delegate=delegate, float_dtype="fp16")
        assert error.value.parameter == "float_dtype"
    assert not list(tmp_path.iterdir())
