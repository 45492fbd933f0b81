"""Build an `.aimodel` package from a deploy form and a recipe."""

import re
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.coreai_form import rewrite_for_coreai_fp16
from shvit_mobile.deploy.coreml_form import rewrite_for_coreml
from shvit_mobile.deploy.exporting import export_model
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadRecipe, NotSupported, get_first_line
from shvit_mobile.quiet import import_library, silence_libraries
from shvit_mobile.targets.build_result import BuildResult, build_input_contract, describe_model
from shvit_mobile.targets.coreai.inventory import read_inventory
from shvit_mobile.targets.coreai.package import write_metadata
from shvit_mobile.targets.target_options import TargetOptions

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
_IMAGES = "images"
_RANDOM_NAME = re.compile(r"\bresource_\d+\b|(?<=@)\w+_[a-z]{8}\b")


@dataclass(frozen=True)
class CoreAIOptions(TargetOptions):
    """Options of the Core AI target; there are none yet."""


def build(deployed: DeployForm, recipe: Recipe, path: Path, options: CoreAIOptions) -> BuildResult:
    """Write a package that takes one float32 image and returns float32 logits or maps; equal arguments, equal bytes.

    "fp16" computes and stores everything between input and logits in fp16. "int8" runs the recipe's convolutions in
    int8 and everything else in float32.

    Args:
        deployed: The model.
        recipe: The precision, and for int8 the ranges.
        path: The package, which must not exist.
        options: None yet.

    Raises:
        BadRecipe: If the recipe's precision is not one of `PRECISIONS`, or its layers are not the model's.
        NotSupported: If Apple's converter lacks an operator of the model.
        ToolMissing: If coreai-torch is not installed.
    """
    if recipe.precision not in PRECISIONS:
        raise BadRecipe(
            f"The target coreai has no {recipe.precision}.",
            why=f"Its precisions: {', '.join(PRECISIONS)}.",
            parameter="precision",
        )
    coreai_torch = import_library("coreai_torch", "It writes Core AI packages.")
    with silence_libraries(), torch.no_grad():
        program = _export_program(deployed, recipe)
        program = program.run_decompositions(coreai_torch.get_decomp_table())
        _write_program(coreai_torch, program, list(deployed.output.names), path)
    trained = deployed.trained
    write_metadata(
        path,
        f"{describe_model(trained)} in {recipe.precision_name}, from {trained.source}.",
        {
            "labels": list(trained.labels),
            "preprocessing": trained.preprocessing.as_fields(),
            "values": deployed.input_domain,
            "precision": recipe.precision_name,
            "checkpoint_sha256": trained.sha256,
        },
    )
    return BuildResult(
        input=build_input_contract(deployed, _IMAGES),
        output=deployed.output,
        inventory=read_inventory(path),
        versions={name: version(name) for name in ("coreai-core", "coreai-torch")},
        options=asdict(options),
    )


def _export_program(deployed: DeployForm, recipe: Recipe) -> torch.export.ExportedProgram:
    """Export the form for Core ML, whose few operators Core AI has, too."""
    module = rewrite_for_coreai_fp16(deployed) if recipe.precision == "fp16" else rewrite_for_coreml(deployed)
    if recipe.precision == "int8":
        from shvit_mobile.quantize.pt2e_graph import build_quantized_graph
        from shvit_mobile.targets.coreai.int8 import replace_quantize_operators

        module = replace_quantize_operators(build_quantized_graph(deployed, recipe, module))
    return export_model(module, torch.zeros(1, 3, *deployed.trained.preprocessing.size))


def _write_program(coreai_torch: Any, program: torch.export.ExportedProgram, outputs: list[str], path: Path) -> None:
    """Convert an exported program and write it.

    Raises:
        NotSupported: If the converter lacks an operator.
    """
    converter = coreai_torch.TorchConverter
    from coreai._compiler import ir
    from coreai.authoring import AIProgram

    # In its debug mode, packages hold stack traces with the paths of this machine. It prints its progress.
    with redirect_stdout(StringIO()):
        try:
            staged = converter(mode=converter.Mode.RELEASE).add_exported_program(
                program, input_names=[_IMAGES], output_names=outputs
            )
            converted = staged.to_coreai()
        except (ValueError, NotImplementedError, KeyError) as reason:
            raise NotSupported(
                f"Apple's converter to Core AI does not accept the model: {get_first_line(reason)}",
                why="The target coreai is experimental, and its converter is a beta.",
                hint="Export to coreml instead: `target='coreml'`.",
                parameter="target",
            ) from reason
    module = converted._module._mlir_module
    text = _renumber(module.operation.get_asm(enable_debug_info=True))
    AIProgram._from_mlir_module(ir.Module.parse(text, module.context)).save_asset(path)


def _renumber(text: str) -> str:
    """Return the text of a program with numbers instead of the random parts of its names.

    The converter appends random letters to the names of composite operators, and MLIR names weights after a hash with
    a random seed.
    """
    numbers: dict[str, str] = {}
    for name in dict.fromkeys(_RANDOM_NAME.findall(text)):
        stem = name.rpartition("_")[0]
        numbers[name] = f"{stem}_{sum(other.startswith(stem) for other in numbers)}"
    return _RANDOM_NAME.sub(lambda found: numbers[found[0]], text)
