"""coremltools at work: from an exported torch program to an ML Program and its weights."""

from __future__ import annotations

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
from shvit_mobile.errors import ToolMissing
from shvit_mobile.quantize.weights import WEIGHT_ONLY_PRECISIONS
from shvit_mobile.quiet import silence_libraries
from shvit_mobile.targets.coreml.int8 import write_int8
from shvit_mobile.targets.coreml.labels import make_labels_unique
from shvit_mobile.targets.coreml.options import INPUT_NAMES, CoreMLOptions
from shvit_mobile.targets.coreml.weights import build_compression_pipeline

LOGITS, LABEL = "logits", "classLabel"
# coremltools derives it from the label's name.
PROBABILITIES = f"{LABEL}_probs"
DEAD_CODE_PASS = "common::dead_code_elimination"
# Turns dequantize -> reshape -> quantize into a reshape of integers without comparing the two scales, so that values
# come out multiplied by their ratio (coremltools 9.0; there is no report of it yet).
FAULTY_PASSES = frozenset({"common::int_op_canonicalization"})


@dataclass(frozen=True)
class ConvertedModel:
    """Attributes:
    model: the protobuf message (`Model.proto`).
    weights: the folder that holds its `weight.bin`.
    version: of coremltools.
    """

    model: Any
    weights: Path


@contextmanager
def convert_program(
    program: torch.export.ExportedProgram, deployed: DeployForm, recipe: Recipe, options: CoreMLOptions
) -> Iterator[ConvertedModel]:
    """The ML Program; its weights are there while the context is open.

    Raises:
        BadRecipe: the recipe is int8 and does not fit the model.
        ToolMissing: coremltools is not installed.
    """
    ct = import_coremltools()
    common = {
        "minimum_deployment_target": getattr(ct.target, options.deployment_target),
        "compute_precision": ct.precision.FLOAT32 if recipe.precision == "fp32" else ct.precision.FLOAT16,
    }
    with silence_libraries(), hide_progress_bars():
        mil = ct.convert(
            program,
            convert_to="milinternal",
            inputs=[build_input_type(ct, deployed, options)],
            outputs=build_output_types(ct, options),
            pass_pipeline=build_pass_pipeline(ct),
            **common,
        )
        if recipe.precision == "int8":
            write_int8(mil, program, deployed, recipe)
        # Two steps, because coremltools indexes the outputs it writes by the outputs it was asked for, and a
        # classifier's label comes on top of them. The types are in the program by now.
        mil.functions["main"].set_output_types(None)
        model = ct.convert(
            mil,
            convert_to="mlprogram",
            pass_pipeline=build_final_pass_pipeline(ct, mil, recipe, options),
            classifier_config=build_classifier_config(ct, deployed) if options.classifier else None,
            skip_model_load=True,
            **common,
        )
        yield ConvertedModel(model.get_spec(), Path(model.weights_dir))


def import_coremltools() -> Any:
    """The library, imported on first use: it takes seconds.

    Raises:
        ToolMissing: it is not installed.
    """
    try:
        with silence_libraries():
            import coremltools
    except ImportError:
        raise ToolMissing(
            "coremltools is not installed.", why="It writes Core ML packages.", hint="pip install coremltools==9.0"
        ) from None
    return coremltools


def build_input_type(ct: Any, deployed: DeployForm, options: CoreMLOptions) -> Any:
    preprocessing = deployed.trained.preprocessing
    shape, name = (1, deployed.module.config.in_channels, *preprocessing.size), INPUT_NAMES[options.input]
    if options.input == "tensor":
        return ct.TensorType(name, shape=shape, dtype=np.float32)
    # Not ImageType's own scale and bias: its scale is one number for all channels, and the standard deviations are
    # three. The graph normalises.
    return ct.ImageType(name, shape=shape, color_layout=getattr(ct.colorlayout, preprocessing.channel_order.upper()))


def build_output_types(ct: Any, options: CoreMLOptions) -> list[Any]:
    """float32 in packages of every precision; without saying so, logits are fp16 from iOS 16 on."""
    names = [LOGITS, PROBABILITIES] if options.classifier else [LOGITS]
    return [ct.TensorType(name, dtype=np.float32) for name in names]


def build_classifier_config(ct: Any, deployed: DeployForm) -> Any:
    return ct.ClassifierConfig(
        make_labels_unique(deployed.trained.labels),
        predicted_feature_name=LABEL,
        predicted_probabilities_output=PROBABILITIES,
    )


def build_pass_pipeline(ct: Any) -> Any:
    pipeline = ct.PassPipeline.DEFAULT
    pipeline.remove_passes(FAULTY_PASSES)
    return pipeline


def build_final_pass_pipeline(ct: Any, mil: Any, recipe: Recipe, options: CoreMLOptions) -> Any:
    """What runs on the finished program: it compresses weights, or drops those that int8 has replaced."""
    if recipe.precision in WEIGHT_ONLY_PRECISIONS:
        return build_compression_pipeline(ct, mil, recipe, options.block)
    pipeline = ct.PassPipeline.EMPTY
    if recipe.precision == "int8":
        pipeline.append_pass(DEAD_CODE_PASS)
    return pipeline


@contextmanager
def hide_progress_bars() -> Iterator[None]:
    """While open, no progress bar of tqdm is drawn: coremltools draws several and offers no way not to."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    drawn = tqdm.__init__
    tqdm.__init__ = partialmethod(drawn, disable=True)
    try:
        yield
    finally:
        tqdm.__init__ = drawn
