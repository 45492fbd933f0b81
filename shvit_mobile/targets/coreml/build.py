"""Builds a Core ML package from the deploy form and a recipe."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from shvit_mobile.contracts.manifest import InputContract, OutputContract
from shvit_mobile.contracts.outputs import check_overwrite
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import InvalidConfig
from shvit_mobile.quantize.weights import WEIGHT_ONLY_PRECISIONS
from shvit_mobile.quiet import silence_libraries
from shvit_mobile.targets.build_result import BuildResult
from shvit_mobile.targets.coreml.convert import LABEL, LOGITS, PROBABILITIES, convert_program
from shvit_mobile.targets.coreml.describe import write_model_descriptions
from shvit_mobile.targets.coreml.graph import export_torch_program
from shvit_mobile.targets.coreml.inventory import read_inventory
from shvit_mobile.targets.coreml.options import INPUT_NAMES, CoreMLOptions, check_deployment_target
from shvit_mobile.targets.coreml.package import write_package

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8", *WEIGHT_ONLY_PRECISIONS)


def build(deployed: DeployForm, recipe: Recipe, path: Path, options: CoreMLOptions) -> BuildResult:
    """Writes an ML Program for a batch of one; the same arguments give the same bytes.

    "fp16" computes and stores everything in fp16 but the outputs. "int8" has the recipe's int8 convolutions and fp16
    for all else. "int8-weights" stores weights of more than 2,048 elements as int8, one scale an output channel, and
    computes in fp16; the palettes store the places of their elements in one palette a weight.

    Args:
        deployed: the model; for an image input it must take pixels.
        recipe: the precision, and for int8 the ranges.
        path: of the package, which must not exist yet.
        options: the input, the oldest iOS, the classifier's outputs, descriptions.

    Raises:
        InvalidConfig: options that the model or the precision excludes.
        BadRecipe: an int8 recipe that does not fit the model.
        OutputExists: there is something at `path`.
        ToolMissing: coremltools is not installed.
    """
    check_deployment_target(options, recipe.precision)
    check_input(deployed, options)
    check_overwrite(path, overwrite=False)
    with silence_libraries():
        program = export_torch_program(deployed, recipe.precision, options)
    with convert_program(program, deployed, recipe, options) as made:
        write_model_descriptions(made, deployed, recipe, options)
        write_package(made.model, made.weights, path)
    return BuildResult(
        input=build_input_contract(deployed, options),
        output=build_output_contract(options),
        inventory=read_inventory(path),
        versions={"coremltools": version("coremltools")},
        options=asdict(options),
    )


def check_input(deployed: DeployForm, options: CoreMLOptions) -> None:
    if options.input != "image":
        return
    if deployed.input_domain != "pixels":
        raise InvalidConfig(
            "An image input needs a deploy form that takes pixels; this one takes normalised values.",
            why="Core ML hands over pixels, 0 to 255, and scales all channels by one number at most.",
            hint="Make it with to_deploy_form(trained, normalise=True), or choose a tensor input.",
        )
    if deployed.module.config.in_channels != 3:
        raise InvalidConfig(
            f"An image input needs a model of 3 channels; this one has {deployed.module.config.in_channels}.",
            why="Core ML's pictures are red, green and blue.",
            hint="Choose a tensor input.",
        )


def build_input_contract(deployed: DeployForm, options: CoreMLOptions) -> InputContract:
    height, width = deployed.trained.preprocessing.size
    return InputContract(
        name=INPUT_NAMES[options.input],
        kind=options.input,
        values=deployed.input_domain,
        shape=(1, deployed.module.config.in_channels, height, width),
        dtype="uint8" if options.input == "image" else "float32",
    )


def build_output_contract(options: CoreMLOptions) -> OutputContract:
    if not options.classifier:
        return OutputContract(logits=LOGITS)
    return OutputContract(logits=LOGITS, probabilities=PROBABILITIES, label=LABEL)
