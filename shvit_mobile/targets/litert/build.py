"""Build a `.tflite` file from a deploy form and a recipe."""

from dataclasses import asdict, dataclass
from pathlib import Path

from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.module_rewrites import rewrite_for_runtime
from shvit_mobile.environments import ENVIRONMENTS
from shvit_mobile.errors import BadRecipe
from shvit_mobile.quantize.layers import select_int8_ranges
from shvit_mobile.targets.build_result import BuildResult, build_input_contract
from shvit_mobile.targets.litert.convert import convert_module
from shvit_mobile.targets.litert.flatbuffer import write_model
from shvit_mobile.targets.litert.int8 import halve_constants, quantize_layers
from shvit_mobile.targets.litert.inventory import read_inventory
from shvit_mobile.targets.litert.metadata import write_facts
from shvit_mobile.targets.onnx.float_graph import copy_as_float32
from shvit_mobile.targets.target_options import TargetOptions
from shvit_mobile.versions import get_package_versions

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
IMAGES = "images"


@dataclass(frozen=True)
class LiteRTOptions(TargetOptions):
    """Options of the LiteRT target: there are none."""


def build(deployed: DeployForm, recipe: Recipe, path: Path, options: LiteRTOptions) -> BuildResult:
    """Write one file with its weights; the same arguments give the same bytes.

    Args:
        deployed: The model; the file has float32 values whatever its dtype.
        recipe: fp32; fp16, with which constants are stored in half precision and everything is computed in float32; or
            int8 with a range for each int8 layer.
        path: The file; an existing one is overwritten.
        options: Of this target.

    Returns:
        Fields of the manifest; the input is `images`, channels first, for one image, and the outputs
        are those of the deploy form.

    Raises:
        BadRecipe: If its precision is not one of `PRECISIONS`, or its layers are not the model's.
        ToolMissing: If ai-edge-litert or the environment `litert` is not installed.
        NotSupported: If the model cannot be converted.
    """
    if recipe.precision not in PRECISIONS:
        raise BadRecipe(
            f"The target litert has no {recipe.precision}.",
            why=f"Its precisions: {', '.join(PRECISIONS)}.",
            parameter="precision",
        )
    trained = deployed.trained
    module = copy_as_float32(rewrite_for_runtime(deployed, "litert", "LiteRT"))
    model = convert_module(module, (1, 3, *trained.preprocessing.size), names=(IMAGES, *deployed.output.names))
    if recipe.precision == "int8":
        quantize_layers(model, deployed.module, select_int8_ranges(deployed, recipe), recipe.activations)
    elif recipe.precision == "fp16":
        halve_constants(model)
    write_facts(model, deployed, recipe)
    path.write_bytes(write_model(model))
    versions = dict(line.split("==") for line in ENVIRONMENTS["litert"].requirements[:2])
    return BuildResult(
        input=build_input_contract(deployed, IMAGES),
        output=deployed.output,
        inventory=read_inventory(path),
        versions={**versions, **get_package_versions("ai-edge-litert")},
        options=asdict(options),
    )
