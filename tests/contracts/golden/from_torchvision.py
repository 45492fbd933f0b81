"""Writes preprocessing.json: what torchvision makes of pictures drawn by formula.

Run once, with torchvision 0.28 and Pillow 12, which this project does not install:
python -m tests.images.golden.from_torchvision
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from tests.images.pictures import draw_texture

# Picture, size, crop ratio, interpolation, and what Resize is given: the short side as in the reference's evaluation,
# or for sizes that are not square, the (height, width) worked out by hand.
CASES = [
    ((480, 640), (224, 224), 0.875, "bicubic", 256),
    ((640, 427), (224, 224), 0.875, "bicubic", 256),
    ((375, 500), (224, 224), 0.9, "bicubic", 248),
    ((32, 32), (224, 224), 0.875, "bicubic", 256),
    ((256, 301), (224, 224), 0.875, "bicubic", 256),
    ((333, 257), (97, 97), 1.0, "bicubic", 97),
    ((546, 256), (192, 192), 0.9, "bicubic", 213),
    ((41, 2000), (32, 32), 0.875, "bicubic", 36),
    ((2000, 41), (32, 32), 0.875, "bicubic", 36),
    ((300, 200), (64, 64), 0.875, "bilinear", 73),
    ((300, 200), (64, 64), 0.875, "nearest", 73),
    ((300, 200), (64, 64), 0.875, "lanczos", 73),
    ((240, 320), (192, 160), 0.875, "bicubic", (219, 292)),
    ((500, 100), (192, 160), 0.875, "bicubic", (910, 182)),
    ((120, 120), (64, 200), 0.8, "bicubic", (250, 250)),
]


def main() -> None:
    golden = []
    for picture, size, ratio, interpolation, resize in CASES:
        reference = Compose([Resize(resize, InterpolationMode(interpolation)), CenterCrop(size)])
        pixels = np.asarray(reference(draw_texture(*picture)))
        golden.append(
            {
                "picture": picture,
                "size": size,
                "crop_ratio": ratio,
                "interpolation": interpolation,
                "first": pixels[0, 0].tolist(),
                "middle": pixels[size[0] // 2, size[1] // 2].tolist(),
                "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
            }
        )
    text = "[\n" + ",\n".join(json.dumps(case) for case in golden) + "\n]\n"
    Path(__file__).with_name("preprocessing.json").write_text(text, encoding="utf-8")


main()
