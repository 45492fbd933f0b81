"""From any picture file to upright 8-bit RGB, or to an error that says why not."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    ImageChops,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401, see FORMATS
)

from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadImages

# What a folder's files are chosen by. What a file really is, its first bytes tell: ImageNet has a PNG named .JPEG.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
)
# No others, as some of Pillow's readers start programs (EPS) or are rarely tested. The readers of TIFF and WebP are
# imported above so that Pillow does not import all that it has, in several threads at once, to find them.
IMAGE_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP")
MAX_PIXELS = 100_000_000

TRANSPOSE_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(source: AnyPath | bytes) -> Image.Image:
    """The picture, upright and in 8-bit RGB, without metadata.

    The orientation in its EXIF or XMP is applied. Transparency is laid on white. Of 16 bits the upper 8 count. Of an
    animation the first frame counts. Colour profiles are not applied, as in the reference's evaluation. Safe to call
    from several threads.

    Args:
        source: a file, or the bytes of one.

    Raises:
        BadImages: it is not a picture in a known format, is damaged or cut short, has more than 100 million pixels or
            has 32-bit numbers, of which no one knows which is white.
    """
    source = source if isinstance(source, bytes) else Path(source)
    name = "The picture" if isinstance(source, bytes) else str(source)
    with _silence_pillow():
        try:
            with _open_source(source) as file, Image.open(file, formats=IMAGE_FORMATS) as picture:
                _check_pixel_count(picture)
                picture.load()
                rgb = _convert_to_rgb(picture)
                turn = _read_orientation(picture)
        except Exception as reason:
            # Pillow's readers raise whatever a damaged file leads them to: SyntaxError, struct.error, KeyError, ...
            why = f"Formats: {', '.join(IMAGE_FORMATS)}." if isinstance(reason, UnidentifiedImageError) else ""
            raise BadImages(f"{name} cannot be decoded: {_describe_error(reason)}.", why=why) from None
    upright = rgb if turn is None else rgb.transpose(turn)
    upright.info.clear()
    return upright


class _UnusableImageError(Exception):
    """A picture that could be read and is not wanted."""


@contextmanager
def _silence_pillow() -> Iterator[None]:
    """Silence what Pillow warns of (odd metadata, many pixels), in this thread and any other while this one is inside.

    `warnings.catch_warnings` puts back the whole list of filters, and with threads it may put back another thread's.
    Here each thread adds one filter to the list it finds, and takes one such filter out of the same list.
    """
    entry = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
    filters = cast("list[Any]", warnings.filters)
    filters.insert(0, entry)
    try:
        yield
    finally:
        filters.remove(entry)


def _open_source(source: Path | bytes) -> IO[bytes]:
    if isinstance(source, bytes):
        file: IO[bytes] = io.BytesIO(source)
    elif source.exists() and not source.is_file():
        raise _UnusableImageError("it is not a file")  # opening a named pipe would wait for ever
    else:
        file = source.open("rb")
    if not file.read(1):
        file.close()
        raise _UnusableImageError("it is empty")
    file.seek(0)
    return file


def _check_pixel_count(picture: Image.Image) -> None:
    if not 0 < picture.width * picture.height <= MAX_PIXELS:
        raise _UnusableImageError(f"it has {picture.width} x {picture.height} pixels, and the most is {MAX_PIXELS:,}")


def _convert_to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        return Image.fromarray(_convert_to_uint8(picture)).convert("RGB")
    if picture.has_transparency_data:
        coloured = picture.convert("RGBA")
        white = Image.new("RGB", picture.size, "white")
        white.paste(coloured, mask=coloured.getchannel("A"))
        return white
    if picture.mode == "CMYK" and "adobe_transform" not in picture.info and picture.format in ("JPEG", "MPO"):
        # Pillow takes every CMYK JPEG for one of Adobe's, which store ink inverted; only those say so.
        return ImageChops.invert(picture).convert("RGB")
    return picture.convert("RGB")


def _convert_to_uint8(picture: Image.Image) -> NDArray[np.uint8]:
    """Greys of more than 8 bits as uint8, shape (height, width); Pillow's own conversions clip some of them."""
    numbers: NDArray[Any] = np.asarray(picture)
    tags = picture.tag_v2 if isinstance(picture, TiffImagePlugin.TiffImageFile) else {}
    (bits,), (kind,) = tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,)), tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))
    if picture.mode == "F" or kind != 1 or bits > 16 or numbers.min() < 0 or numbers.max() >> bits:
        raise _UnusableImageError(
            "its numbers are signed, of 32 bits or fractions, and which of them is white is not known"
        )
    greys: NDArray[np.uint8] = (numbers >> (bits - 8)).astype(np.uint8)
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:
        greys = 255 - greys  # white is zero, which Pillow heeds for 8 bits only
    if (transparent := picture.info.get("transparency")) is not None:
        greys[numbers == transparent] = 255
    return greys


def _read_orientation(picture: Image.Image) -> Image.Transpose | None:
    """What sets the picture upright; nothing where its metadata is damaged, as its pixels may still be good."""
    try:
        return TRANSPOSE_BY_ORIENTATION.get(picture.getexif().get(0x0112, 1))
    except Exception:
        return None


def _describe_error(reason: Exception) -> str:
    match reason:
        case UnidentifiedImageError():
            return "it is not a picture in a known format"
        case Image.DecompressionBombError():
            return f"it has more than {MAX_PIXELS:,} pixels"
        case MemoryError():
            return "there is not enough memory"
        case OSError(strerror=str(words)):
            return words[:1].lower() + words[1:]
    return str(reason).rstrip(".") or type(reason).__name__
