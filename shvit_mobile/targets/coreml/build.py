"""Build a Core ML package from a deploy form and a recipe."""

from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from shvit_mobile.contracts.manifest import OutputContract
from shvit_mobile.contracts.outputs import check_overwrite
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import ConflictingParameters
from shvit_mobile.quantize.weights import WEIGHT_ONLY_PRECISIONS
from shvit_mobile.targets.build_result import BuildResult, build_input_contract
from shvit_mobile.targets.coreml.convert import LABEL, PROBABILITIES, convert_to_program
from shvit_mobile.targets.coreml.describe import write_model_descriptions
from shvit_mobile.targets.coreml.functions import merge_packages
from shvit_mobile.targets.coreml.inventory import read_inventory
from shvit_mobile.targets.coreml.options import INPUT_NAMES, CoreMLOptions
from shvit_mobile.targets.coreml.package import write_package
from shvit_mobile.targets.coreml.spec.package import DEFAULT_FUNCTION
from shvit_mobile.targets.image_sizes import list_sizes

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8", *WEIGHT_ONLY_PRECISIONS)


def build(deployed: DeployForm, recipe: Recipe, path: Path, options: CoreMLOptions) -> BuildResult:
    """Write an ML Program for a batch of one; the same arguments give the same bytes.

    "fp16" computes and stores everything except the outputs in fp16. "int8" runs the recipe's convolutions in int8 and
    everything else in fp16. "int8-weights" stores weights of more than 2,048 elements as int8, with one scale per
    output channel, and computes in fp16; palettes store them as indices into one palette per weight.

    A package for several sizes has a function for each, which is the program of a package for that size alone.

    Args:
        deployed: The model; for an image input it must take pixels.
        recipe: The precision, and for int8 the ranges.
        path: The package, which must not exist.
        options: The input, the oldest iOS, the classifier's outputs, descriptions.

    Raises:
        ConflictingParameters: If the options exclude the model or the precision.
        NotSupported: If the deployment target does not support the precision.
        BadRecipe: If an int8 recipe does not fit the model.
        OutputExists: If `path` exists.
        ToolMissing: If coremltools is not installed.
    """
    options.check_precision(recipe.precision)
    options.check_model(deployed.trained)
    _check_input(deployed, options)
    if deployed.trained.task != "classify":
        options = replace(options, classifier=False)
    check_overwrite(path, overwrite=False)
    sizes = list_sizes(deployed.trained.preprocessing.size, options.more_sizes, DEFAULT_FUNCTION)
    if not sizes:
        _write_program(deployed, recipe, path, options)
    else:
        with TemporaryDirectory() as folder:
            packages = {one.method: Path(folder, f"{one.method}.mlpackage") for one in sizes}
            for one in sizes:
                _write_program(deployed.resize(one.size), recipe, packages[one.method], options)
            merge_packages(packages, path)
    recorded = {name: value for name, value in asdict(options).items() if name != "more_sizes"}  # they have a field
    return BuildResult(
        input=build_input_contract(deployed, INPUT_NAMES[options.input], kind=options.input),
        output=_build_output_contract(deployed, options),
        inventory=read_inventory(path),
        versions={"coremltools": version("coremltools")},
        options=recorded,
        sizes=sizes,
    )


def _write_program(deployed: DeployForm, recipe: Recipe, path: Path, options: CoreMLOptions) -> None:
    """Write a package for the size of a deploy form."""
    with convert_to_program(deployed, recipe, options) as converted:
        write_model_descriptions(converted, deployed, recipe, options)
        write_package(converted.model, converted.weights, path)


def _check_input(deployed: DeployForm, options: CoreMLOptions) -> None:
    if options.input != "image":
        return
    if deployed.input_domain != "pixels":
        raise ConflictingParameters(
            "An image input needs a deploy form that takes pixels; this one takes normalized values.",
            why="Core ML passes pixels, 0 to 255, and can scale all channels only by one number.",
            hint="Use to_deploy_form(trained, normalise=True), or set `input='tensor'`.",
            parameter="input",
        )


def _build_output_contract(deployed: DeployForm, options: CoreMLOptions) -> OutputContract:
    if not options.classifier:
        return deployed.output
    return deployed.output.model_copy(update={"probabilities": PROBABILITIES, "label": LABEL})
