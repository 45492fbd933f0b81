"""Convert an exported torch program to an ML Program and its weights with coremltools."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.quantize.weights import WEIGHT_ONLY_PRECISIONS
from shvit_mobile.quiet import import_library, silence_libraries
from shvit_mobile.targets.coreml.int8 import write_int8
from shvit_mobile.targets.coreml.labels import make_labels_unique
from shvit_mobile.targets.coreml.options import INPUT_NAMES, CoreMLOptions
from shvit_mobile.targets.coreml.weights import build_compression_pipeline

LOGITS, LABEL = "logits", "classLabel"
# coremltools derives this name from the label's.
PROBABILITIES = f"{LABEL}_probs"
_DEAD_CODE_PASS = "common::dead_code_elimination"
# Replaces dequantize -> reshape -> quantize by a reshape of integers without comparing the two scales, which multiplies
# the values by their ratio (coremltools 9.0; not reported yet).
_FAULTY_PASSES = frozenset({"common::int_op_canonicalization"})


@dataclass(frozen=True)
class ConvertedModel:
    """A converted program: the protobuf message (`Model.proto`), and the folder of its `weight.bin`."""

    model: Any
    weights: Path


@contextmanager
def convert_program(
    program: torch.export.ExportedProgram, deployed: DeployForm, recipe: Recipe, options: CoreMLOptions
) -> Iterator[ConvertedModel]:
    """Convert a program; its weights exist inside the context.

    Raises:
        BadRecipe: If an int8 recipe does not fit the model.
        ToolMissing: If coremltools is not installed.
    """
    ct = import_coremltools()
    common = {
        "minimum_deployment_target": getattr(ct.target, options.deployment_target),
        "compute_precision": ct.precision.FLOAT32 if recipe.precision == "fp32" else ct.precision.FLOAT16,
    }
    with silence_libraries(), _hide_progress_bars():
        mil = ct.convert(
            program,
            convert_to="milinternal",
            inputs=[_build_input_type(ct, deployed, options)],
            outputs=_build_output_types(ct, options),
            pass_pipeline=build_pass_pipeline(ct),
            **common,
        )
        if recipe.precision == "int8":
            write_int8(mil, program, deployed, recipe)
        # Two steps, because coremltools indexes the written outputs by the requested ones, and a classifier's label is
        # additional. The program already has the types.
        mil.functions["main"].set_output_types(None)
        model = ct.convert(
            mil,
            convert_to="mlprogram",
            pass_pipeline=_build_final_pass_pipeline(ct, mil, recipe, options),
            classifier_config=_build_classifier_config(ct, deployed) if options.classifier else None,
            skip_model_load=True,
            **common,
        )
        yield ConvertedModel(model.get_spec(), Path(model.weights_dir))


def import_coremltools() -> Any:
    """Import coremltools on first use, which takes seconds.

    Raises:
        ToolMissing: If it is not installed.
    """
    return import_library("coremltools", "It writes Core ML packages.")


def _build_input_type(ct: Any, deployed: DeployForm, options: CoreMLOptions) -> Any:
    preprocessing = deployed.trained.preprocessing
    shape, name = (1, deployed.module.config.in_channels, *preprocessing.size), INPUT_NAMES[options.input]
    if options.input == "tensor":
        return ct.TensorType(name, shape=shape, dtype=np.float32)
    # The graph normalizes, because ImageType has one scale for all channels, and there are three standard deviations.
    return ct.ImageType(name, shape=shape, color_layout=getattr(ct.colorlayout, preprocessing.channel_order.upper()))


def _build_output_types(ct: Any, options: CoreMLOptions) -> list[Any]:
    """Return float32 outputs for every precision; the default from iOS 16 on is fp16."""
    names = [LOGITS, PROBABILITIES] if options.classifier else [LOGITS]
    return [ct.TensorType(name, dtype=np.float32) for name in names]


def _build_classifier_config(ct: Any, deployed: DeployForm) -> Any:
    return ct.ClassifierConfig(
        make_labels_unique(deployed.trained.labels),
        predicted_feature_name=LABEL,
        predicted_probabilities_output=PROBABILITIES,
    )


def build_pass_pipeline(ct: Any) -> Any:
    pipeline = ct.PassPipeline.DEFAULT
    pipeline.remove_passes(_FAULTY_PASSES)
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
def _hide_progress_bars() -> Iterator[None]:
    """Disable tqdm's progress bars inside the context; coremltools has no option for it."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    original = tqdm.__init__
    tqdm.__init__ = partialmethod(original, disable=True)
    try:
        yield
    finally:
        tqdm.__init__ = original
