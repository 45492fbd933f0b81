"""Selects the pictures for goldens, JPEGs that go into an app as they are, and writes the goldens of an artifact."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import gcd, prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shvit_mobile.bench.golden_check import compute_mean_difference, select_values
from shvit_mobile.contracts.artifact import Artifact, get_goldens_path
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.goldens import GOLDENS_NAME, MAX_PIXELS_TOLERANCE, GoldenImage, Goldens
from shvit_mobile.contracts.manifest import GoldensFolder, Manifest, OutputSamples, RampGolden
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadImages
from shvit_mobile.images.decode import decode_image
from shvit_mobile.images.image_set import ImageSet, open_images
from shvit_mobile.images.reduction import choose_reduction
from shvit_mobile.pipeline.defaults import GOLDEN_IMAGES, WIDE_GAMUT_IMAGE
from shvit_mobile.pipeline.verify import VerificationResult

_GOLDEN_COUNT = 4
# The values of each map: 3 maps of 5 pictures, artifact and float model, take 100 kB of JSON.
_SAMPLES_OF_MAP = 256
# A photo of this size takes a few hundred kilobytes, so apps stay small.
_MAX_SIDE = 1024
_JPEG_QUALITY = 90
# The mean difference that is allowed, in pixel values. Another JPEG decoder may round colors differently; the apps'
# resampling equals Pillow's to the last bit. Another filter, crop or channel order, or bicubic without antialiasing,
# differs by 1.9 or more even on the default picture that shows it least.
_PIXEL_TOLERANCE = 1.0


@dataclass(frozen=True)
class GoldenSource:
    """A picture for goldens.

    Attributes:
        source: The name of its file.
        jpeg: The encoded picture, without EXIF, which reveals where and with what a photo was taken.
        reencoding_reason: Why `jpeg` is not the file's own bytes; empty if it is.
    """

    source: str
    jpeg: bytes
    reencoding_reason: str = ""


@cache
def load_default_golden_images() -> tuple[GoldenSource, ...]:
    """Return three of the demo's photos, which most models enlarge, and two large drawings, which they shrink."""
    return (*select_golden_images(open_images(GOLDEN_IMAGES)), load_wide_gamut_drawing())


@cache
def load_wide_gamut_drawing() -> GoldenSource:
    """Return the drawing that is among all goldens: it has a Display-P3 profile, and can be decoded at reduced scale.

    An app that converts its colors to sRGB is 9 of 255 off, one that decodes it at reduced scale without averaging 4.
    """
    return GoldenSource(WIDE_GAMUT_IMAGE.name, WIDE_GAMUT_IMAGE.read_bytes())


def select_golden_images(images: ImageSet, *, count: int = _GOLDEN_COUNT, seed: int = 0) -> tuple[GoldenSource, ...]:
    """Sample some of `images` at random; return them sorted by name.

    Raises:
        BadImages: If one of them cannot be decoded.
    """
    chosen = images.sample(count, seed, balanced=False)
    return tuple(load_golden_image(file) for file in sorted(chosen.files))


def load_golden_image(file: AnyPath) -> GoldenSource:
    """Load a picture as a JPEG of at most 1024 pixels a side, without metadata.

    Raises:
        BadImages: If the file cannot be read or decoded.
    """
    file = Path(file)
    upright = decode_image(file)
    try:
        encoded = file.read_bytes()
    except OSError as error:
        raise BadImages(f"{file} cannot be read: {error.strerror}.") from None
    reason = _explain_reencoding(encoded)
    return GoldenSource(file.name, _encode_jpeg(upright) if reason else encoded, reason)


def _explain_reencoding(encoded: bytes) -> str:
    """Return why a picture cannot go into an app as it is; empty if it can."""
    with Image.open(io.BytesIO(encoded)) as opened:
        if opened.format != "JPEG":
            return f"it is a {opened.format}"
        if opened.mode not in ("RGB", "L"):
            return f"its color mode is {opened.mode}"
        if max(opened.size) > _MAX_SIDE:
            return f"it has {opened.width} x {opened.height} pixels"
        if {"exif", "xmp", "icc_profile", "photoshop"} & opened.info.keys():
            return "it has metadata"
    return ""


def _encode_jpeg(upright: Image.Image) -> bytes:
    """Shrink an upright RGB picture to at most 1024 pixels a side, and encode it as a JPEG."""
    upright.thumbnail((_MAX_SIDE, _MAX_SIDE))
    file = io.BytesIO()
    upright.save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def preprocess_golden_images(sources: Sequence[GoldenSource], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return the pixels of each picture: uint8, shape (pictures, height, width, 3)."""
    return np.stack([preprocessing.preprocess_image(decode_image(source.jpeg)) for source in sources])


def measure_reduced_scale(
    sources: Sequence[GoldenSource], pixels: NDArray[np.uint8], preprocessing: Preprocessing
) -> float:
    """Measure the mean difference, in steps of 0 to 255, that decoding at reduced scale makes at most.

    Args:
        sources, pixels: The pictures, and their pixels from `preprocess_golden_images`.
        preprocessing: The preprocessing of the model; 0 if it needs all pictures at full scale.
    """
    worst = 0.0
    for source, expected in zip(sources, pixels, strict=True):
        width, height = decode_image(source.jpeg).size
        if (reduction := choose_reduction(height, width, preprocessing)) > 1:
            reduced = preprocessing.preprocess_image(decode_image(source.jpeg, reduction=reduction))
            worst = max(worst, compute_mean_difference(reduced, expected))
    return worst


def choose_samples(manifest: Manifest, result: VerificationResult) -> tuple[OutputSamples, ...]:
    """Choose the positions of each map whose values goldens hold; none for a classifier.

    They are spread over the map at a step that has no factor in common with its sizes, so that all rows and columns
    occur, and all channels if there are no more of them.
    """
    samples = []
    for one in manifest.output.maps:
        size = prod(one.shape)
        step = next(step for step in range(-(-size // _SAMPLES_OF_MAP), size + 1) if gcd(step, size) == 1)
        positions = sorted(number * step % size for number in range(min(size, _SAMPLES_OF_MAP)))
        samples.append(OutputSamples(name=one.name, positions=tuple(positions), tolerance=result.tolerances[one.name]))
    return tuple(samples)


def build_ramp_golden(manifest: Manifest, result: VerificationResult) -> RampGolden:
    """Return the manifest's golden; the first image of the result is the ramp."""
    samples = choose_samples(manifest, result)
    values = tuple(map(float, select_values(result.outputs, samples)[0]))
    logits, sampled = ((), values) if samples else (values, ())
    return RampGolden(
        logits=logits,
        sampled_outputs=samples,
        sampled_values=sampled,
        how=result.execution,
        tolerance=result.tolerance,
    )


def write_goldens(
    folder: Path,
    artifact: Artifact,
    sources: Sequence[GoldenSource],
    pixels: NDArray[np.uint8],
    result: VerificationResult,
) -> GoldensFolder:
    """Write the goldens of an artifact into a new folder; return the manifest's entry for it.

    Args:
        sources, pixels: The pictures, and their pixels from `preprocess_golden_images`.
        result: The outputs for these pixels.
    """
    folder.mkdir()
    images, samples = [], choose_samples(artifact.manifest, result)
    actual, expected = (
        [tuple(map(float, row)) for row in select_values(outputs, samples)]
        for outputs in (result.outputs, result.float_outputs)
    )
    for number, (source, prepared) in enumerate(zip(sources, pixels, strict=True)):
        image, stored = folder / f"{number}.jpg", folder / f"{number}.rgb"
        image.write_bytes(source.jpeg)
        stored.write_bytes(prepared.tobytes())
        images.append(
            GoldenImage(
                image=image.name,
                image_sha256=compute_sha256(image),
                pixels=stored.name,
                pixels_sha256=compute_sha256(stored),
                logits=() if samples else actual[number],
                float_logits=() if samples else expected[number],
                sampled_values=actual[number] if samples else (),
                float_sampled_values=expected[number] if samples else (),
            )
        )
    preprocessing = artifact.manifest.preprocessing
    goldens = Goldens(
        artifact_sha256=artifact.manifest.artifact.sha256,
        precision=artifact.manifest.precision,
        preprocessing=preprocessing,
        how=result.execution,
        engine=result.engine,
        tolerance=result.tolerance,
        sampled_outputs=samples,
        pixels_tolerance=_PIXEL_TOLERANCE,
        reduced_pixels_tolerance=round(
            min(_PIXEL_TOLERANCE + measure_reduced_scale(sources, pixels, preprocessing), MAX_PIXELS_TOLERANCE), 3
        ),
        images=tuple(images),
    )
    (folder / GOLDENS_NAME).write_text(goldens.to_json(), encoding="utf-8")
    return GoldensFolder(name=get_goldens_path(artifact.path).name, sha256=compute_sha256(folder))
