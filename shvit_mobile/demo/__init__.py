"""The demo that comes with the package: a classifier and a detector, with images to calibrate and measure on."""

from pathlib import Path

DEMO_FOLDER = Path(__file__).parent
CHECKPOINT = DEMO_FOLDER / "shvit_s1-cifar10.safetensors"
DETECTOR = DEMO_FOLDER / "light_shvit_s1-scenes.safetensors"
TEST_IMAGES = DEMO_FOLDER / "images" / "test"
CALIBRATION_IMAGES = DEMO_FOLDER / "images" / "calibration"
GOLDEN_IMAGES = DEMO_FOLDER / "images" / "golden"
WIDE_GAMUT_IMAGE = DEMO_FOLDER / "images" / "drawn-1360x1024-display-p3.jpg"
# Pictures of TEST_IMAGES and CALIBRATION_IMAGES on drawn clouds, and the boxes of the first as COCO's annotations.
TEST_SCENES = DEMO_FOLDER / "scenes" / "test" / "images"
TEST_BOXES = DEMO_FOLDER / "scenes" / "test" / "boxes.json"
CALIBRATION_SCENES = DEMO_FOLDER / "scenes" / "calibration" / "images"
