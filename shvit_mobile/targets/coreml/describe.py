"""Write what Xcode shows of a package: descriptions, the preview type and the model's provenance."""

import json
from importlib.metadata import version

import torch

from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.form import LOGITS, DeployForm
from shvit_mobile.targets.coreml.convert import LABEL, PROBABILITIES, ConvertedModel
from shvit_mobile.targets.coreml.options import INPUT_NAMES, CoreMLOptions
from shvit_mobile.versions import VERSION

_PROVENANCE_KEY = "shvit-mobile"
_PREVIEW_KEY = "com.apple.coreml.model.preview.type"


def write_model_descriptions(
    converted: ConvertedModel, deployed: DeployForm, recipe: Recipe, options: CoreMLOptions
) -> None:
    """Write descriptions and metadata into the model, and remove coremltools' own metadata, which contains a date."""
    description = converted.model.description
    for feature in (*description.input, *description.output):
        feature.shortDescription = _build_feature_descriptions(deployed)[feature.name]
    metadata = description.metadata
    metadata.author = options.author
    metadata.license = options.license
    metadata.versionString = options.version or deployed.trained.sha256[:12]
    metadata.shortDescription = options.description or _format_short_description(deployed, recipe, options)
    metadata.userDefined.clear()
    metadata.userDefined.update(_build_user_metadata(deployed, recipe, options))


def _build_feature_descriptions(deployed: DeployForm) -> dict[str, str]:
    """Return a sentence for every input and output that a package may have."""
    preprocessing = deployed.trained.preprocessing
    height, width = preprocessing.size
    values = {
        "pixels": "pixels, 0 to 255; the program normalises them",
        "normalised": f"(pixel / 255 - mean) / std, mean {preprocessing.mean}, std {preprocessing.std}",
    }[deployed.input_domain]
    colours = {"rgb": "red, green, blue", "bgr": "blue, green, red"}[preprocessing.channel_order]
    return {
        INPUT_NAMES["image"]: f"A picture of {width} by {height} pixels, upright.",
        INPUT_NAMES["tensor"]: f"(1, 3, {height}, {width}), {colours}: {values}.",
        LOGITS: f"The logits of {len(deployed.trained.labels)} classes, before the softmax.",
        **{
            one.name: f"The map of stride {one.stride}, {' x '.join(map(str, one.shape))}."
            for one in deployed.output.maps
        },
        LABEL: "The label of the likeliest class. Classes that share a label carry their number.",
        PROBABILITIES: "The probability of each label.",
    }


def _format_short_description(deployed: DeployForm, recipe: Recipe, options: CoreMLOptions) -> str:
    trained = deployed.trained
    sizes = ", ".join("x".join(map(str, size)) for size in (trained.preprocessing.size, *options.more_sizes))
    what = {
        "classify": f"an image classifier of {len(trained.labels)} classes",
        "features": "the feature maps",
        "detect": "a detector",
    }[trained.task]
    return f"{trained.variant}, {what} at {sizes}, {recipe.precision_name}."


def _build_user_metadata(deployed: DeployForm, recipe: Recipe, options: CoreMLOptions) -> dict[str, str]:
    trained = deployed.trained
    provenance = {
        "checkpoint_sha256": trained.sha256,
        "classes": len(trained.labels),
        "dialect": trained.dialect,
        "precision": recipe.precision_name,
        "preprocessing": trained.preprocessing.as_fields(),
        "shvit_mobile": VERSION,
        "source": trained.source,
        "takes": deployed.input_domain,
        "variant": trained.variant,
    }
    texts = {
        _PROVENANCE_KEY: json.dumps(provenance, sort_keys=True),
        "com.github.apple.coremltools.version": version("coremltools"),
        "com.github.apple.coremltools.source": f"torch=={torch.__version__}",
    }
    # Xcode previews only image classifiers: an image in, a label and probabilities out.
    if options.input == "image" and options.classifier:
        texts[_PREVIEW_KEY] = "imageClassifier"
    return texts
