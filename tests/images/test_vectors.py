"""The vectors that the apps' preprocessing is tested with are what ours gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shvit_mobile.contracts.preprocessing import Preprocessing

FOLDER = Path(__file__).parents[2] / "schemas" / "vectors" / "preprocessing"
CASES = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_pixels_and_values_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in case["preprocessing"].items()}
    preprocessing = Preprocessing(**fields)
    shape = (case["picture"]["height"], case["picture"]["width"], 3)
    picture = np.frombuffer((FOLDER / case["picture"]["file"]).read_bytes(), np.uint8).reshape(shape)
    pixels = preprocessing.preprocess_image(Image.fromarray(picture))
    assert pixels.tobytes() == (FOLDER / case["pixels"]["file"]).read_bytes()
    values = preprocessing.normalize(pixels[None]).ravel()[: len(case["normalised"])]
    np.testing.assert_allclose(values, case["normalised"], rtol=0, atol=1e-6)
