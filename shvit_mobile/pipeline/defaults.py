"""The one set of defaults of all workflows; the embedded demo model and its images among them."""

from dataclasses import dataclass
from pathlib import Path

from shvit_mobile import demo
from shvit_mobile.contracts.manifest import QualifiedTarget, Task
from shvit_mobile.contracts.recipe import Precision

# The precision of each target where none is given.
DEFAULT_PRECISIONS: dict[QualifiedTarget, Precision] = {
    "coreml": "fp16",
    "executorch": "fp32",
    "executorch-coreml": "fp16",
    "executorch-vulkan": "fp16",
    "onnx": "fp32",
    "litert": "fp32",
    "coreai": "fp16",
}
CALIBRATION_COUNT = 256
# Enough to rank sixty layers: their shares of the error differ a thousandfold.
SENSITIVITY_COUNT = 64
# Artifacts that one budget search lowers and runs once a recipe holds: under a minute on two cores.
MAX_SEARCH_ARTIFACTS = 12
# A budget is verified on images that calibration leaves over: at least and at most this many.
MIN_VERIFICATION_COUNT, MAX_VERIFICATION_COUNT = 100, 1000
# Every layer is compared in all its values, so few images are enough.
LAYER_COUNT = 32
CALIBRATION_IMAGES = demo.CALIBRATION_IMAGES


@dataclass(frozen=True)
class Demo:
    """An embedded model, and images to calibrate it and to compare its artifacts on.

    Attributes:
        checkpoint: The model.
        calibration: A folder of images.
        validation: Another one.
        boxes: COCO's annotations of `validation`; None for a classifier, whose folders are classes.
    """

    checkpoint: Path
    calibration: Path
    validation: Path
    boxes: Path | None = None


_CLASSIFIER = Demo(demo.CHECKPOINT, CALIBRATION_IMAGES, demo.TEST_IMAGES)
DEMOS: dict[Task, Demo] = {
    "classify": _CLASSIFIER,
    "features": _CLASSIFIER,
    "detect": Demo(demo.DETECTOR, demo.CALIBRATION_SCENES, demo.TEST_SCENES, demo.TEST_BOXES),
}
# Three photos, which most models enlarge, and a large drawing, which they shrink.
GOLDEN_IMAGES = demo.GOLDEN_IMAGES
# A large, colorful drawing with a Display-P3 profile, which is added to all goldens.
WIDE_GAMUT_IMAGE = demo.WIDE_GAMUT_IMAGE
