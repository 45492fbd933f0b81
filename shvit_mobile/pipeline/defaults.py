"""The one set of defaults of all workflows; the embedded demo model and its images among them."""

from shvit_mobile import demo
from shvit_mobile.contracts.manifest import QualifiedTarget
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
CHECKPOINT = demo.CHECKPOINT
CALIBRATION_IMAGES = demo.CALIBRATION_IMAGES
VALIDATION_IMAGES = demo.TEST_IMAGES
# Three photos, which most models enlarge, and a large drawing, which they shrink.
GOLDEN_IMAGES = demo.GOLDEN_IMAGES
# A large, colorful drawing with a Display-P3 profile, which is added to all goldens.
WIDE_GAMUT_IMAGE = demo.WIDE_GAMUT_IMAGE
