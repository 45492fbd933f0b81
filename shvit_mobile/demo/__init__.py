"""The demo that comes with the package: a SHViT-S1 trained on CIFAR-10 and images to calibrate and measure on."""

from pathlib import Path

HERE = Path(__file__).parent
CHECKPOINT = HERE / "shvit_s1-cifar10.safetensors"
TEST_IMAGES = HERE / "images" / "test"
CALIBRATION_IMAGES = HERE / "images" / "calibration"
GOLDEN_IMAGES = HERE / "images" / "golden"
