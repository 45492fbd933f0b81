"""Selects and encodes the pictures for goldens: JPEGs that go into an app as they are."""

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

_GOLDEN_COUNT = 4
# A photo of this size takes a few hundred kilobytes, so apps stay small.
_MAX_SIDE = 1024
_JPEG_QUALITY = 90


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
    """Return three of the demo's photos, which most models enlarge, and a large drawing, which they shrink."""
    return select_golden_images(open_images(default_golden_images()))


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
    """Encode an upright RGB picture as a JPEG of at most 1024 pixels a side."""
    small = upright.copy()
    small.thumbnail((_MAX_SIDE, _MAX_SIDE))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()
