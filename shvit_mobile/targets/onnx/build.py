"""Writes the deploy form as one `.onnx` file and says what it holds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx
from onnx import helper

from shvit_mobile.contracts.manifest import InputContract, OutputContract
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.errors import BadRecipe, InvalidConfig
from shvit_mobile.quantize.layers import select_int8_ranges
from shvit_mobile.targets.build_result import BuildResult
from shvit_mobile.targets.onnx.graph import GraphBuilder
from shvit_mobile.targets.onnx.inventory import read_inventory
from shvit_mobile.targets.onnx.network import ModuleWriter
from shvit_mobile.targets.target_options import TargetOptions

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
# From the first that quantizes weights per channel to the last that every ONNX Runtime we allow reads (1.23 and on).
OPSETS = range(13, 24)
IMAGES, LOGITS = "images", "logits"


@dataclass(frozen=True)
class ONNXOptions(TargetOptions):
    """How the file is written.

    Attributes:
        opset: the version of ONNX's operators, 13 to 23. The graph is the same at each of them, so this only says how
            old a runtime may be; 17 is read by ONNX Runtime 1.12 and on.
        dynamic_batch: any number of images at once; else one.

    Raises:
        InvalidConfig: the opset is out of range.
    """

    opset: int = 17
    dynamic_batch: bool = True

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise InvalidConfig(
                f"Opset {self.opset} is not one that can be written.",
                why=f"Opsets: {OPSETS[0]} to {OPSETS[-1]}.",
                hint="The graph is the same at each; the default is read by the most runtimes.",
            )


def build(deployed: DeployForm, recipe: Recipe, path: Path, options: ONNXOptions) -> BuildResult:
    """Writes `path`, weights inside, checked by onnx.checker; the same arguments give the same bytes.

    Args:
        deployed: the model; it is written in float32 whatever dtype it has.
        recipe: fp32, or int8 with a range for each layer that is to be int8.
        path: of the file; what is there is overwritten.
        options: opset and batch.

    Returns:
        What the manifest says of the file, whose input is `images` and whose output is `logits`.

    Raises:
        BadRecipe: its precision is not one of `PRECISIONS`, or its layers are not the model's.
    """
    if recipe.precision not in PRECISIONS:
        raise BadRecipe(f"The target onnx has no {recipe.precision}.", why=f"Its precisions: {', '.join(PRECISIONS)}.")
    model = build_onnx_model(deployed, recipe, options)
    path.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(path, full_check=True)
    shape = (deployed.module.config.in_channels, *deployed.trained.preprocessing.size)
    return BuildResult(
        input=InputContract(
            name=IMAGES,
            kind="tensor",
            values=deployed.input_domain,
            shape=(0 if options.dynamic_batch else 1, *shape),
            dtype="float32",
        ),
        output=OutputContract(logits=LOGITS),
        inventory=read_inventory(path),
        versions={"onnx": onnx.__version__},
        options=asdict(options),
    )


def build_onnx_model(deployed: DeployForm, recipe: Recipe, options: ONNXOptions) -> onnx.ModelProto:
    """The deploy form as an ONNX model."""
    trained = deployed.trained
    shape = (deployed.module.config.in_channels, *trained.preprocessing.size)
    graph = GraphBuilder(trained.variant, images=IMAGES, shape=shape)
    ranges = select_int8_ranges(deployed, recipe) if recipe.precision == "int8" else {}
    logits = ModuleWriter(graph, ranges, recipe.activations).write(deployed.module, graph.images, "")
    model = graph.build_model(logits, LOGITS, opset=options.opset, batch="batch" if options.dynamic_batch else 1)
    model.producer_name = "shvit-mobile"
    model.doc_string = format_doc_string(deployed, recipe)
    helper.set_model_props(
        model,
        {
            "labels": json.dumps(trained.labels, ensure_ascii=False),
            "preprocessing": json.dumps(asdict(trained.preprocessing)),
            "values": deployed.input_domain,
            "precision": recipe.precision_name,
            "checkpoint_sha256": trained.sha256,
        },
    )
    return model


def format_doc_string(deployed: DeployForm, recipe: Recipe) -> str:
    """What a person who opens the file needs to know to use it."""
    trained = deployed.trained
    height, width = trained.preprocessing.size
    takes = "0 to 255" if deployed.input_domain == "pixels" else "(pixel / 255 - mean) / std"
    return (
        f"{trained.variant} with {len(trained.labels)} classes in {recipe.precision_name}, from {trained.source}. "
        f"`{IMAGES}`: float32, {trained.preprocessing.channel_order}, {height}x{width}, values {takes}. "
        f"`{LOGITS}`: before softmax."
    )
