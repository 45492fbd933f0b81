"""Convert a deploy form to an ML Program and its weights: torch exports it, coremltools converts it."""

import errno
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.coreml_form import rewrite_for_coreml
from shvit_mobile.deploy.exporting import export_model
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.fp16_form import rewrite_for_fp16
from shvit_mobile.quantize.weights import WEIGHT_ONLY_PRECISIONS
from shvit_mobile.quiet import import_library, silence_libraries
from shvit_mobile.targets.coreml.int8 import write_int8
from shvit_mobile.targets.coreml.options import INPUT_NAMES, CoreMLOptions
from shvit_mobile.targets.coreml.weights import build_compression_pipeline

LABEL = "classLabel"
# coremltools derives this name from the label's.
PROBABILITIES = f"{LABEL}_probs"
# coremltools 9.0 does not know `alias`, which a slice of a whole axis becomes.
_DECOMPOSITIONS = {torch.ops.aten.alias.default: lambda x: x}
_DEAD_CODE_PASS = "common::dead_code_elimination"
# Faults of coremltools 9.0, not reported yet. The first replaces dequantize -> reshape -> quantize by a reshape of
# integers without comparing the two scales, which multiplies the values by their ratio. The second writes mul -> add
# per channel as a batch norm of variance 1 with the default epsilon, which makes the scale 5e-6 smaller.
_FAULTY_PASSES = frozenset({"common::int_op_canonicalization", "common::fuse_elementwise_to_batchnorm"})
# It multiplies the factor of each channel behind a convolution into its weights.
_SCALE_PASS = "common::fuse_conv_scale"


@dataclass(frozen=True)
class ConvertedModel:
    """A converted program: the protobuf message (`Model.proto`), and the folder of its `weight.bin`."""

    model: Any
    weights: Path


@contextmanager
def convert_to_program(deployed: DeployForm, recipe: Recipe, options: CoreMLOptions) -> Iterator[ConvertedModel]:
    """Convert a deploy form; the weights exist inside the context.

    Raises:
        BadRecipe: If an int8 recipe does not fit the model.
        OSError: If the weights cannot be written into the system's temporary folder.
        ToolMissing: If coremltools is not installed.
    """
    ct = import_coremltools()
    common = {
        "minimum_deployment_target": getattr(ct.target, options.deployment_target),
        "compute_precision": ct.precision.FLOAT32 if recipe.precision == "fp32" else ct.precision.FLOAT16,
    }
    with silence_libraries(), hide_progress_bars(), _validate_once():
        program = _export_torch_program(deployed, recipe.precision, options)
        mil = ct.convert(
            program,
            convert_to="milinternal",
            inputs=[_build_input_type(ct, deployed, options)],
            outputs=_build_output_types(ct, deployed, options),
            pass_pipeline=build_pass_pipeline(ct, recipe.precision),
            **common,
        )
        if recipe.precision == "int8":
            write_int8(mil, program, deployed, recipe)
        # Two steps, because coremltools indexes the written outputs by the requested ones, and a classifier's label is
        # additional. The program already has the types.
        mil.functions["main"].set_output_types(None)
        try:
            model = ct.convert(
                mil,
                convert_to="mlprogram",
                pass_pipeline=_build_final_pass_pipeline(ct, mil, recipe, options),
                classifier_config=_build_classifier_config(ct, deployed) if options.classifier else None,
                skip_model_load=True,
                **common,
            )
        except RuntimeError as reason:
            if "FileWriter" not in str(reason):
                raise
            raise OSError(errno.ENOSPC, "No room for the weights of the package", gettempdir()) from reason
        yield ConvertedModel(model.get_spec(), Path(model.weights_dir))


def import_coremltools() -> Any:
    """Import coremltools on first use, which takes seconds.

    Raises:
        ToolMissing: If it is not installed.
    """
    return import_library("coremltools", "It writes Core ML packages.")


def _export_torch_program(
    deployed: DeployForm, precision: Precision, options: CoreMLOptions
) -> torch.export.ExportedProgram:
    """Export a program on the CPU in float32: (1, channels, height, width) in, logits (1, classes) or maps out.

    A classifier has a second output, the probabilities. All precisions but "fp32" compute in fp16, or in fp16 between
    int8 layers.
    """
    module = rewrite_for_coreml(deployed, options.layout)
    if precision != "fp32":
        module = rewrite_for_fp16(module, deployed)
    example = torch.zeros(1, 3, *deployed.trained.preprocessing.size)
    with torch.no_grad():
        program = export_model(_WithProbabilities(module) if options.classifier else module, example)
        # Without decompositions the program has the training dialect, which coremltools rejects.
        decomposed: torch.export.ExportedProgram = program.run_decompositions(_DECOMPOSITIONS)
        return decomposed


class _WithProbabilities(nn.Module):
    """Logits and their softmax."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.module(images)
        return logits, logits.softmax(-1)


def _build_input_type(ct: Any, deployed: DeployForm, options: CoreMLOptions) -> Any:
    preprocessing = deployed.trained.preprocessing
    shape, name = (1, 3, *preprocessing.size), INPUT_NAMES[options.input]
    if options.input == "tensor":
        return ct.TensorType(name, shape=shape, dtype=np.float32)
    # The graph normalizes, because ImageType has one scale for all channels, and there are three standard deviations.
    return ct.ImageType(name, shape=shape, color_layout=getattr(ct.colorlayout, preprocessing.channel_order.upper()))


def _build_output_types(ct: Any, deployed: DeployForm, options: CoreMLOptions) -> list[Any]:
    """Return float32 outputs for every precision; the default from iOS 16 on is fp16."""
    names = [*deployed.output.names, PROBABILITIES] if options.classifier else deployed.output.names
    return [ct.TensorType(name, dtype=np.float32) for name in names]


def _build_classifier_config(ct: Any, deployed: DeployForm) -> Any:
    return ct.ClassifierConfig(
        make_labels_unique(deployed.trained.labels),
        predicted_feature_name=LABEL,
        predicted_probabilities_output=PROBABILITIES,
    )


def make_labels_unique(labels: Sequence[str]) -> list[str]:
    """Append the class number to labels that several classes share.

    A Core ML classifier returns probabilities by label, so one of two classes with the same label (ImageNet has two
    cranes and two maillots) would be lost: they become "crane (134)" and "crane (517)".
    """
    shared = {label for label, count in Counter(labels).items() if count > 1}
    used = set(labels)
    result = []
    for index, label in enumerate(labels):
        if label in shared:
            while label in used:
                label = f"{label} ({index})"
            used.add(label)
        result.append(label)
    return result


def build_pass_pipeline(ct: Any, precision: Precision = "fp32") -> Any:
    """Return the passes on a float program; for int8, without one that replaces layers by others with new names."""
    pipeline = ct.PassPipeline.DEFAULT
    pipeline.remove_passes(_FAULTY_PASSES | ({_SCALE_PASS} if precision == "int8" else set()))
    return pipeline


def _build_final_pass_pipeline(ct: Any, mil: Any, recipe: Recipe, options: CoreMLOptions) -> Any:
    """Return the passes on the finished program, which compress weights or remove those that int8 has replaced."""
    if recipe.precision in WEIGHT_ONLY_PRECISIONS:
        return build_compression_pipeline(ct, mil, recipe, options.block)
    pipeline = ct.PassPipeline.EMPTY
    if recipe.precision == "int8":
        pipeline.append_pass(_DEAD_CODE_PASS)
    return pipeline


@contextmanager
def _validate_once() -> Iterator[None]:
    """Let coremltools validate a program after all passes of a pipeline, not after each, inside the context.

    A fifth of a conversion's time went into that.
    """
    from coremltools.converters.mil.mil import Program
    from coremltools.converters.mil.mil.passes.pass_pipeline import PassPipelineManager

    apply, validate = PassPipelineManager.apply_pipeline, Program.validate

    def apply_and_validate(program: Any, pipeline: Any) -> None:
        Program.validate = lambda *_, **__: None
        try:
            apply(program, pipeline)
        finally:
            Program.validate = validate
        program.validate()

    PassPipelineManager.apply_pipeline = staticmethod(apply_and_validate)
    try:
        yield
    finally:
        PassPipelineManager.apply_pipeline = staticmethod(apply)


@contextmanager
def hide_progress_bars() -> Iterator[None]:
    """Disable tqdm's progress bars inside the context; coremltools has no option for it."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    original = tqdm.__init__
    tqdm.__init__ = partialmethod(original, disable=True)
    try:
        yield
    finally:
        tqdm.__init__ = original
