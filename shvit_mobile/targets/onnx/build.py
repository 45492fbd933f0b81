"""Build an `.onnx` file from a deploy form and a recipe."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx
from onnx import helper

from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadRecipe, InvalidValue
from shvit_mobile.quantize.layers import select_int8_ranges
from shvit_mobile.targets.build_result import (
    BuildResult,
    build_input_contract,
    describe_model,
    describe_outputs,
)
from shvit_mobile.targets.onnx.float_graph import export_float_graph, fill_graph
from shvit_mobile.targets.onnx.int8 import quantize_layers
from shvit_mobile.targets.onnx.inventory import read_inventory
from shvit_mobile.targets.onnx.opsets import EXPORTED_OPSET, OPSETS
from shvit_mobile.targets.target_options import TargetOptions
from shvit_mobile.versions import get_package_versions

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
IMAGES = "images"


@dataclass(frozen=True)
class ONNXOptions(TargetOptions):
    """Options of the ONNX target.

    Attributes:
        opset: The version of ONNX's operators, 18 to 23. It does not change the graph, only which runtimes can read
            it; ONNX Runtime 1.14 and later read 18.
        dynamic_batch: Whether the file takes any number of images at once, instead of one.

    Raises:
        InvalidValue: If the opset is out of range.
    """

    opset: int = EXPORTED_OPSET
    dynamic_batch: bool = True

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise InvalidValue(
                f"Opset {self.opset} is not supported.",
                why=f"Opsets: {OPSETS[0]} to {OPSETS[-1]}.",
                hint="The opset does not change the graph; most runtimes read the default.",
                parameter="opset",
            )


def build(deployed: DeployForm, recipe: Recipe, path: Path, options: ONNXOptions) -> BuildResult:
    """Write one file with its weights, checked by onnx.checker; the same arguments give the same bytes.

    Args:
        deployed: The model; the file has float32 values whatever its dtype.
        recipe: fp32, or int8 with a range for each int8 layer.
        path: The file; an existing one is overwritten.
        options: The opset and the batch.

    Returns:
        Fields of the manifest; the input is `images`, the outputs those of the deploy form.

    Raises:
        BadRecipe: If its precision is not one of `PRECISIONS`, or its layers are not the model's.
    """
    if recipe.precision not in PRECISIONS:
        raise BadRecipe(
            f"The target onnx has no {recipe.precision}.",
            why=f"Its precisions: {', '.join(PRECISIONS)}.",
            parameter="precision",
        )
    model = _build_onnx_model(deployed, recipe, options)
    path.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(path, full_check=True)
    return BuildResult(
        input=build_input_contract(deployed, IMAGES, batch=0 if options.dynamic_batch else 1),
        output=deployed.output,
        inventory=read_inventory(path),
        versions={"onnx": onnx.__version__, **get_package_versions("onnxscript")},
        options=asdict(options),
    )


def _build_onnx_model(deployed: DeployForm, recipe: Recipe, options: ONNXOptions) -> onnx.ModelProto:
    """Build the ONNX model of a deploy form."""
    trained = deployed.trained
    graph = export_float_graph(
        deployed.module,
        (3, *trained.preprocessing.size),
        names=(IMAGES, *deployed.output.names),
        batch="batch" if options.dynamic_batch else 1,
    )
    model = fill_graph(graph, deployed.module)
    if options.opset != EXPORTED_OPSET:
        from shvit_mobile.targets.onnx.exporter import convert_opset

        model = convert_opset(model, options.opset)
    if recipe.precision == "int8":
        quantize_layers(model.graph, deployed.module, select_int8_ranges(deployed, recipe), recipe.activations)
    model.graph.name = trained.variant
    # The oldest file format with this opset, so that older runtimes can read the file.
    model.ir_version = helper.find_min_ir_version_for(list(model.opset_import))
    model.ClearField("producer_version")
    model.producer_name = "shvit-mobile"
    model.doc_string = _format_doc_string(deployed, recipe)
    helper.set_model_props(
        model,
        {
            "labels": json.dumps(trained.labels, ensure_ascii=False),
            "preprocessing": json.dumps(trained.preprocessing.as_fields()),
            "values": deployed.input_domain,
            "precision": recipe.precision_name,
            "checkpoint_sha256": trained.sha256,
        },
    )
    return model


def _format_doc_string(deployed: DeployForm, recipe: Recipe) -> str:
    """Describe the model, its input and its outputs for people who open the file."""
    trained = deployed.trained
    height, width = trained.preprocessing.size
    takes = "0 to 255" if deployed.input_domain == "pixels" else "(pixel / 255 - mean) / std"
    described = describe_outputs(deployed.output)
    return (
        f"{describe_model(trained)} in {recipe.precision_name}, from {trained.source}. "
        f"`{IMAGES}`: float32, {trained.preprocessing.channel_order}, {height}x{width}, values {takes}. "
        + " ".join(f"`{name}`: {text}." for name, text in described.items())
    )
