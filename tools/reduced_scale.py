"""Measure how decoding at reduced scale changes the pixels of a model, by how much larger the decoded photo is.

    python tools/reduced_scale.py PHOTOS

PHOTOS is a folder of JPEGs. Their sides are cut to multiples of 8 and encoded again, because the apps divide only even
sides. Sizes of the model's input from 32 to 150 pixels give the ratios.
"""

from __future__ import annotations

import io
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from shvit_mobile.bench.golden_check import compute_mean_difference
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.images.decode import decode_image
from shvit_mobile.images.reduction import MAX_REDUCTION

SIZES = (32, 40, 48, 64, 96, 112, 128, 150)
# The shorter decoded side as a multiple of what preprocessing resizes it to.
RATIOS = (1.0, 1.4, 2.0, 3.0, 8.0)
QUALITY = 90


def cut_evenly(path: Path) -> bytes:
    """Return the photo as a JPEG whose sides are multiples of 8."""
    whole = decode_image(path)
    sides = (whole.width // MAX_REDUCTION * MAX_REDUCTION, whole.height // MAX_REDUCTION * MAX_REDUCTION)
    file = io.BytesIO()
    whole.crop((0, 0, *sides)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def measure_photo(jpeg: bytes) -> list[tuple[float, float]]:
    """Return the ratio and the mean difference, in steps of 0 to 255, for each size of the input and each scale."""
    measured = []
    whole = decode_image(jpeg)
    for size in SIZES:
        preprocessing = Preprocessing(size=(size, size))
        expected = preprocessing.preprocess_image(whole)
        height, width = preprocessing.compute_resized_size(whole.height, whole.width)
        for reduction in (2, 4, 8):
            ratio = min(whole.height / height, whole.width / width) / reduction
            if ratio >= RATIOS[0]:
                pixels = preprocessing.preprocess_image(decode_image(jpeg, reduction=reduction))
                measured.append((ratio, compute_mean_difference(pixels, expected)))
    return measured


def main() -> None:
    photos = sorted(path for path in Path(sys.argv[1]).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    differences = defaultdict[float, list[float]](list)
    for path in photos:
        for ratio, difference in measure_photo(cut_evenly(path)):
            differences[max(low for low in RATIOS if low <= ratio)].append(difference)
    print("| decoded side / needed side | cases | median | 90% below | largest |\n|---|---|---|---|---|")
    for low in sorted(differences):
        values = np.array(differences[low])
        middle, high, largest = np.median(values), np.quantile(values, 0.9), values.max()
        print(f"| from {low:g} | {len(values)} | {middle:.2f} | {high:.2f} | {largest:.2f} |")


if __name__ == "__main__":
    main()
