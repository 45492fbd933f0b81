"""The pictures that goldens are made of: JPEGs that an app can be handed as they are."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadImages
from shvit_mobile.images.decode import decode_image
from shvit_mobile.images.image_set import ImageSet, open_images
from shvit_mobile.pipeline.defaults import default_golden_images

GOLDEN_COUNT = 4
# Apps stay small: a photo of this size has a few hundred kilobytes.
MAX_SIDE = 1024
JPEG_QUALITY = 90


@dataclass(frozen=True)
class GoldenSource:
    """One picture.

    Attributes:
        source: the file it came from, for people.
        jpeg: the encoded picture; without EXIF, since that tells where and with what a photo was taken.
        changed: why it is not the file's own bytes; empty where it is.
    """

    source: str
    jpeg: bytes
    reencoding_reason: str = ""


@cache
def load_default_golden_images() -> tuple[GoldenSource, ...]:
    """Three of the demo's photos, which most models enlarge, and a large drawn picture, which they shrink."""
    return select_golden_images(open_images(default_golden_images()))


def select_golden_images(images: ImageSet, *, count: int = GOLDEN_COUNT, seed: int = 0) -> tuple[GoldenSource, ...]:
    """Some of `images`, sorted by name.

    Raises:
        BadImages: one of those chosen cannot be decoded.
    """
    chosen = images.sample(count, seed, balanced=False)
    return tuple(load_golden_image(file) for file in sorted(chosen.files))


def load_golden_image(file: AnyPath) -> GoldenSource:
    """A picture as an app may be handed it: a JPEG of at most 1024 pixels a side, without metadata.

    Raises:
        BadImages: it cannot be read or decoded.
    """
    file = Path(file)
    upright = decode_image(file)
    try:
        encoded = file.read_bytes()
    except OSError as reason:
        raise BadImages(f"{file} cannot be read: {reason.strerror}.") from None
    why = explain_reencoding(encoded)
    return GoldenSource(file.name, encode_jpeg(upright) if why else encoded, why)


def explain_reencoding(encoded: bytes) -> str:
    """Why a picture cannot be handed to an app as it is; nothing where it can."""
    with Image.open(io.BytesIO(encoded)) as opened:
        if opened.format != "JPEG":
            return f"it is a {opened.format}"
        if opened.mode not in ("RGB", "L"):
            return f"its colours are {opened.mode}"
        if max(opened.size) > MAX_SIDE:
            return f"it has {opened.width} x {opened.height} pixels"
        if {"exif", "xmp", "icc_profile", "photoshop"} & opened.info.keys():
            return "it has metadata"
    return ""


def encode_jpeg(upright: Image.Image) -> bytes:
    """An upright RGB picture as a JPEG of at most 1024 pixels a side."""
    small = upright.copy()
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
