"""Write `schemas/vectors/`, which the tests in Python, Swift and Kotlin all read.

`percentiles.json` holds NumPy's percentiles, `ratios.json` ratios of latencies with intervals that are counted out,
`reductions.json` the scale at which photos are decoded, `detection.json` maps of detectors and their boxes,
`placements.json` boxes of pictures and their places in views, `preprocessing/` pictures and the pixels that Pillow
makes of them, so that no implementation is its own judge. Pictures and pixels are raw: bytes of rows, columns,
channels.
"""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import product
from math import comb
from pathlib import Path
from typing import get_args

import numpy as np
from detection_vectors import build_detection_cases
from numpy.typing import NDArray
from PIL import Image

from shvit_mobile.contracts.preprocessing import Interpolation, Padding, Preprocessing, ResizeMode
from shvit_mobile.demo import TEST_IMAGES
from shvit_mobile.images.reduction import choose_reduction

FOLDER = Path(__file__).parent.parent / "schemas" / "vectors"
SHARES = (0, 1, 5, 25, 50, 75, 90, 95, 99, 99.9, 100)
NORMALIZED_COUNT = 12
# Of `build_options_case`.
OPTIONS = (get_args(Interpolation), get_args(ResizeMode), ("up", "down"))


def build_percentile_cases() -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    samples = {
        "one sample": [3.25],
        "two samples": [2.0, 1.0],
        "all alike": [4.5] * 7,
        "one to a hundred, backwards": [float(n) for n in range(100, 0, -1)],
        "latencies with a long tail": np.round(2 + rng.gamma(2, 0.5, 101), 6).tolist(),
        "far apart": [1e-3, 1e6, 1.0, 12.5],
    }
    return [
        {
            "name": name,
            "samples": values,
            "percentiles": [{"share": share, "expected": float(np.percentile(values, share))} for share in SHARES],
        }
        for name, values in samples.items()
    ]


def draw_picture(height: int, width: int) -> NDArray[np.uint8]:
    """Waves, an edge and noise: what shows a wrong filter, a shift by half a pixel and a clipped overshoot."""
    rows, columns = np.mgrid[:height, :width]
    waves = np.stack([np.sin(rows / 3), np.cos(columns / 5), np.sin((rows + columns) / 2)], axis=-1)
    edge = np.where(columns > width / 2, 100, -100)[..., None]
    noise = np.random.default_rng(height * width).normal(0, 12, (height, width, 3))
    return np.clip(128 + 60 * waves + edge + noise, 0, 255).astype(np.uint8)


def load_photo() -> NDArray[np.uint8]:
    path = sorted(TEST_IMAGES.rglob("*.jpg"))[0]
    with Image.open(path) as opened:
        return np.array(opened.convert("RGB"))


def build_preprocessing_cases() -> dict[str, tuple[NDArray[np.uint8], Preprocessing]]:
    """A picture and how it is prepared, by name."""
    return {
        "photo": (load_photo(), Preprocessing()),
        "wide": (draw_picture(61, 150), Preprocessing(size=(64, 64))),
        "tall": (draw_picture(211, 37), Preprocessing(size=(48, 48), crop_ratio=1.0, interpolation="bilinear")),
        "not-square": (draw_picture(64, 97), Preprocessing(size=(56, 40), interpolation="lanczos")),
        "nearest": (draw_picture(40, 31), Preprocessing(size=(32, 32), crop_ratio=0.9, interpolation="nearest")),
        "bgr": (
            draw_picture(80, 80),
            Preprocessing(size=(32, 48), channel_order="bgr", mean=(0.5,) * 3, std=(0.25,) * 3),
        ),
        "as-it-is": (draw_picture(32, 32), Preprocessing(size=(32, 32), crop_ratio=1.0)),
        "one-pixel": (draw_picture(1, 1), Preprocessing(size=(8, 8))),
        "squashed-long": (
            draw_picture(1801, 3),
            Preprocessing((24, 16), 0.9, "lanczos", resize_mode="squash"),
        ),
        "squashed-needle": (draw_picture(1801, 3), Preprocessing((4, 5), 0.7, "bilinear", resize_mode="squash")),
        "letterbox-tall": (draw_picture(211, 37), build_letterbox((48, 40), "center")),
        "letterbox-needle": (draw_picture(1801, 3), build_letterbox((5, 24), "center")),
        "letterbox-one-pixel": (draw_picture(1, 1), build_letterbox((7, 8), "end")),
        **{"-".join(options): build_options_case(*options) for options in product(*OPTIONS)},
    }


def build_letterbox(size: tuple[int, int], padding: Padding) -> Preprocessing:
    return Preprocessing(size, 1.0, "bilinear", resize_mode="letterbox", padding=padding, padding_value=(0, 114, 255))


def build_options_case(
    interpolation: Interpolation, resize_mode: ResizeMode, scaling: str
) -> tuple[NDArray[np.uint8], Preprocessing]:
    """A picture of odd sides that becomes larger or smaller with these options, in the two channel orders."""
    preprocessing = Preprocessing(
        size=(17, 23),
        crop_ratio=1.0 if resize_mode == "letterbox" else 0.81,
        interpolation=interpolation,
        channel_order="rgb" if scaling == "up" else "bgr",
        resize_mode=resize_mode,
        padding=("center" if scaling == "up" else "end") if resize_mode == "letterbox" else None,
        padding_value=(124, 116, 104) if resize_mode == "letterbox" else None,
    )
    return draw_picture(*((13, 7) if scaling == "up" else (55, 101))), preprocessing


def write_preprocessing(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    picture_files: dict[bytes, str] = {}
    for name, (picture, preprocessing) in build_preprocessing_cases().items():
        pixels = preprocessing.preprocess_image(Image.fromarray(picture))
        tensor = preprocessing.normalize(pixels[None])[0]
        picture_file = picture_files.setdefault(picture.tobytes(), f"{name}.picture.rgb")
        (folder / picture_file).write_bytes(picture.tobytes())
        (folder / f"{name}.pixels.rgb").write_bytes(pixels.tobytes())
        cases.append(
            {
                "name": name,
                "picture": {"file": picture_file, "height": picture.shape[0], "width": picture.shape[1]},
                "preprocessing": preprocessing.as_fields(),
                "pixels": {"file": f"{name}.pixels.rgb", "sha256": sha256(pixels.tobytes()).hexdigest()},
                "normalised": [float(value) for value in tensor.ravel()[:NORMALIZED_COUNT]],
            }
        )
    rule = (
        "pixels equal Pillow's, or differ by 1 in few places and by less than 0.05 on average; `normalised` holds the "
        "first values of (pixel / 255 - mean) / std in the order channels, rows, columns, equal within 1e-6"
    )
    (folder / "cases.json").write_text(json.dumps({"rule": rule, "cases": cases}, indent=1) + "\n", encoding="utf-8")


def build_ratio_cases() -> list[dict[str, object]]:
    """Rounds of two contestants, and the interval of the sign test, counted out from the binomial coefficients."""
    rng = np.random.default_rng(1)
    cases: list[dict[str, object]] = []
    for rounds in (1, 5, 6, 7, 12, 41):
        first, other = (np.round(rng.lognormal(mean, 0.2, rounds), 4) for mean in (2.0, 1.5))
        logs = np.sort(np.log(first / other))
        ranks = [k for k in range(rounds + 1) if sum(comb(rounds, i) for i in range(k)) <= 0.025 * 2**rounds]
        ends = (logs[ranks[-1] - 1], logs[-ranks[-1]]) if ranks[-1] else (-np.inf, np.inf)
        value, low, high = (float(np.exp(log)) for log in (np.median(logs), *ends))
        told = {"value": value, "low": low, "high": high if np.isfinite(high) else "Infinity"}
        cases.append({"first": first.tolist(), "other": other.tolist(), "ratio": told})
    return cases


def build_reduction_cases() -> list[dict[str, object]]:
    """Sizes of photos with the reduction without the option, and with it for a model."""
    usual, small = Preprocessing(), Preprocessing(size=(160, 96), crop_ratio=1.0, resize_mode="squash")
    sizes = [(3024, 4032), (4032, 3024), (6048, 8064), (4284, 5712), (6144, 8160), (12240, 16320)]
    sizes += [(1024, 1360), (1023, 1360), (1022, 1360), (1026, 1360), (512, 100_000), (320, 192), (4096, 4096)]
    sizes += [(4096, 4097), (6047, 8063), (1, 1), (1, 20_000_000)]
    return [
        {
            "height": height,
            "width": width,
            "preprocessing": preprocessing.as_fields(),
            "reduction": choose_reduction(height, width),
            "reduction_with_option": choose_reduction(height, width, preprocessing),
        }
        for preprocessing in (usual, small)
        for height, width in sizes
    ]


def build_placement_cases() -> list[dict[str, object]]:
    """Boxes of pictures, and where views show them: scaled, turned and mirrored. Computed by products of matrices."""
    sizes = [((480, 640), (240, 320)), ((480, 640), (400, 300)), ((641, 479), (333, 777)), ((64, 64), (100, 50))]
    box = np.array([[0.125, 0.25, 1], [0.5, 0.75, 1]])  # left top and right bottom, as shares of the sides
    turn = np.array([[0, -1, 1], [1, 0, 0], [0, 0, 1]])  # of shares, clockwise: right is (1 - y), down is x
    flip = np.array([[-1, 0, 1], [0, 1, 0], [0, 0, 1]])
    cases: list[dict[str, object]] = []
    for (picture, view), scaling, turns, mirrored in product(sizes, ("fit", "fill"), range(4), (False, True)):
        shown = picture[::-1] if turns % 2 else picture
        scale = (min if scaling == "fit" else max)(view[0] / shown[0], view[1] / shown[1])
        sides = [side * scale for side in shown]
        to_view = np.array([[sides[0], 0, (view[0] - sides[0]) / 2], [0, sides[1], (view[1] - sides[1]) / 2]])
        ends = box @ (to_view @ (flip if mirrored else np.eye(3)) @ np.linalg.matrix_power(turn, turns)).T
        cases.append(
            {
                "picture": {"width": picture[0], "height": picture[1]},
                "view": {"width": view[0], "height": view[1]},
                "scaling": scaling,
                "quarter_turns": turns,
                "mirrored": mirrored,
                "box": (box[:, :2] * picture).ravel().tolist(),
                "expected": [*ends.min(axis=0).tolist(), *ends.max(axis=0).tolist()],
            }
        )
    return cases


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    rule = "linear interpolation at share / 100 * (count - 1) of the sorted samples; equal within 1e-9 relative"
    text = json.dumps({"rule": rule, "cases": build_percentile_cases()}, indent=1)
    (FOLDER / "percentiles.json").write_text(text + "\n", encoding="utf-8")
    rule = "the median of first / other, and the interval of the sign test with 95%; equal within 1e-9 relative"
    text = json.dumps({"rule": rule, "cases": build_ratio_cases()}, indent=1)
    (FOLDER / "ratios.json").write_text(text + "\n", encoding="utf-8")
    rule = "the sides of the upright photo; with the option, of a JPEG"
    text = json.dumps({"rule": rule, "cases": build_reduction_cases()}, indent=1)
    (FOLDER / "reductions.json").write_text(text + "\n", encoding="utf-8")
    rule = (
        "boxes in this order, of these classes; scores equal within 1e-6, and corners (left, top, right, bottom, in "
        "pixels of the picture) within 1e-4 of the picture's longer side"
    )
    text = json.dumps({"rule": rule, "cases": build_detection_cases()}, separators=(",", ":"))
    (FOLDER / "detection.json").write_text(text + "\n", encoding="utf-8")
    rule = (
        "the upright picture is turned clockwise by quarter turns, then mirrored left to right, then scaled and "
        "centered in the view; left, top, right and bottom, equal within 1e-3"
    )
    text = json.dumps({"rule": rule, "cases": build_placement_cases()}, separators=(",", ":"))
    (FOLDER / "placements.json").write_text(text + "\n", encoding="utf-8")
    write_preprocessing(FOLDER / "preprocessing")
    print(f"{FOLDER.relative_to(FOLDER.parent.parent)}: {sum(1 for _ in FOLDER.rglob('*.*'))} files")


if __name__ == "__main__":
    main()
