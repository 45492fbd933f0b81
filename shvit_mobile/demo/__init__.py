"""The demo that comes with the package: a SHViT-S1 trained on CIFAR-10 and images to calibrate and measure on."""

from pathlib import Path

DEMO_FOLDER = Path(__file__).parent
CHECKPOINT = DEMO_FOLDER / "shvit_s1-cifar10.safetensors"
TEST_IMAGES = DEMO_FOLDER / "images" / "test"
CALIBRATION_IMAGES = DEMO_FOLDER / "images" / "calibration"
GOLDEN_IMAGES = DEMO_FOLDER / "images" / "golden"
WIDE_GAMUT_IMAGE = DEMO_FOLDER / "images" / "drawn-1360x1024-display-p3.jpg"
