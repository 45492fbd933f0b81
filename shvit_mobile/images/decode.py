"""Decoding of image files to upright 8-bit RGB."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    ImageChops,
    JpegImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401, see FORMATS
    features,
)

from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadImages
from shvit_mobile.images.reduction import divide_side

# Suffixes select the files of a folder. The content decides the format: ImageNet has a PNG named .JPEG.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
)
# No other formats: some of Pillow's readers start programs (EPS) or are rarely tested. The readers of TIFF and WebP are
# imported above, so that Pillow does not search all its plugins in several threads at once.
IMAGE_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP")
# Formats that an optional library decodes.
_OPTIONAL_SUFFIXES = {".heic": "HEIF", ".heif": "HEIF", ".hif": "HEIF", ".avif": "AVIF"}
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_FORMAT_NAMES = {"HEIF": "HEIC", "AVIF": "AVIF"}
# Pictures that nothing here decodes.
_FOREIGN_SUFFIXES = frozenset({".jp2", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".svg"})
MAX_PIXELS = 100_000_000
_load_lock = Lock()

_TRANSPOSE_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(source: AnyPath | bytes, *, reduction: int = 1) -> Image.Image:
    """Decode an image to upright 8-bit RGB without metadata.

    The EXIF or XMP orientation is applied, and transparent pixels are blended with white. Only the upper 8 of 16 bits
    and the first frame of an animation are used. Values are those that the file stores: a color profile, such as
    Display P3, is not applied, as in the evaluation of SHViT's authors. Safe to call from several threads.

    Args:
        source: A file, or its bytes.
        reduction: The power of two, at most 8, by which both sides of a JPEG are divided during decoding, rounded
            down, as the apps do it after `choose_reduction` (default: 1).

    Raises:
        BadImages: If the format is unknown, the file is damaged or truncated, or the image has more than 100 million
            pixels or 32-bit values, for which the value of white is unknown; or if `reduction` is not 1, and the image
            is not a JPEG.
    """
    source = source if isinstance(source, bytes) else Path(source)
    name = "The image" if isinstance(source, bytes) else str(source)
    with _silence_pillow():
        try:
            with _open_source(source) as file, _open_image(file) as image:
                _check_pixel_count(image)
                size = _load_pixels(image, reduction)
                rgb = _convert_to_rgb(image)
                turn = _read_orientation(image)
        except Exception as reason:
            # Pillow's readers raise many types of errors for damaged files: SyntaxError, struct.error, KeyError, ...
            why = f"Formats: {', '.join(IMAGE_FORMATS)}." if isinstance(reason, UnidentifiedImageError) else ""
            raise UndecodableImage(name, _describe_error(reason), why) from None
    whole = rgb if rgb.size == size else rgb.crop((0, 0, *size))
    upright = whole if turn is None else whole.transpose(turn)
    upright.info.clear()
    return upright


class UndecodableImage(BadImages):
    """An image that cannot be decoded.

    Attributes:
        reason: Why, as a clause: "it is empty".
    """

    def __init__(self, name: str, reason: str, why: str) -> None:
        self.reason = reason
        super().__init__(f"{name} cannot be decoded: {reason}.", why=why)


def explain_suffix(suffix: str) -> tuple[bool, str]:
    """Return whether files with a suffix are pictures, and why they cannot be decoded here; empty if they can."""
    suffix = suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True, ""
    if format := _OPTIONAL_SUFFIXES.get(suffix):
        return True, "" if _load_decoder(format) else _explain_missing_decoder(format)
    if suffix in _FOREIGN_SUFFIXES:
        return True, f"{suffix} is not a supported format: convert it to JPEG or PNG"
    return False, f"{suffix} is not the suffix of an image" if suffix else "it has no suffix"


def _open_image(file: IO[bytes]) -> Image.Image:
    formats = _choose_formats(file)
    try:
        return Image.open(file, formats=formats)
    except UnidentifiedImageError:
        if formats == IMAGE_FORMATS:
            raise
        raise _UnusableImageError(f"it begins like {_FORMAT_NAMES[formats[0]]}, but is damaged") from None


def _choose_formats(file: IO[bytes]) -> tuple[str, ...]:
    """Return Pillow's names of the formats to try: one that an optional library decodes, or the usual ones."""
    head = file.read(64)
    file.seek(0)
    if head[4:8] != b"ftyp":
        return IMAGE_FORMATS
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[start : start + 4] for start in range(16, end - 3, 4))}
    format = "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIF_BRANDS else None
    if format is None:
        return IMAGE_FORMATS
    if not _load_decoder(format):
        raise _UnusableImageError(_explain_missing_decoder(format))
    return (format,)


def _load_decoder(format: str) -> bool:
    """Return whether the decoder of an optional format is there; threads wait until the first has loaded it."""
    with _load_lock:
        return _register_decoder(format)


@cache
def _register_decoder(format: str) -> bool:
    try:
        if format == "HEIF":
            import_module("pillow_heif").register_heif_opener()
            return True
        import_module("PIL.AvifImagePlugin")
        return bool(features.check("avif"))
    except ImportError:
        return False


def _explain_missing_decoder(format: str) -> str:
    return f"{_FORMAT_NAMES[format]} needs another library: pip install 'shvit-mobile[heic]'"


class _UnusableImageError(Exception):
    """An image that can be read but is not supported."""


@contextmanager
def _silence_pillow() -> Iterator[None]:
    """Silence Pillow's warnings (bad metadata, many pixels) inside the context, in all threads.

    `warnings.catch_warnings` restores the whole list of filters, which is not safe with threads. Here each thread adds
    one filter to the list and removes one such filter from the same list.
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
        raise _UnusableImageError("it is not a file")  # opening a named pipe would block
    else:
        file = source.open("rb")
    if not file.read(1):
        file.close()
        raise _UnusableImageError("it is empty")
    file.seek(0)
    return file


def _check_pixel_count(image: Image.Image) -> None:
    if not 0 < image.width * image.height <= MAX_PIXELS:
        raise _UnusableImageError(f"it has {image.width} x {image.height} pixels; the limit is {MAX_PIXELS:,}")


def _load_pixels(image: Image.Image, reduction: int) -> tuple[int, int]:
    """Load the pixels, and return the (width, height) of which all pixels are whole blocks of the original."""
    size = divide_side(image.width, reduction), divide_side(image.height, reduction)
    if reduction > 1:
        if not isinstance(image, JpegImagePlugin.JpegImageFile):
            raise _UnusableImageError("only a JPEG can be decoded at reduced scale")
        whole = image.size
        image.draft(image.mode, size)
        if image.size != tuple(-(-side // reduction) for side in whole):
            raise _UnusableImageError(f"a JPEG of {whole[0]} x {whole[1]} pixels cannot be divided by {reduction}")
    image.load()
    return size


def _convert_to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_convert_to_uint8(image)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    if image.mode == "CMYK" and "adobe_transform" not in image.info and image.format in ("JPEG", "MPO"):
        # Pillow inverts every CMYK JPEG, as Adobe's need it; but only Adobe's have this marker.
        return ImageChops.invert(image).convert("RGB")
    return image.convert("RGB")


def _convert_to_uint8(image: Image.Image) -> NDArray[np.uint8]:
    """Convert gray values of more than 8 bits to uint8, shape (height, width); Pillow clips some of them."""
    numbers: NDArray[Any] = np.asarray(image)
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    (bits,), (kind,) = tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,)), tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))
    if image.mode == "F" or kind != 1 or bits > 16 or numbers.min() < 0 or numbers.max() >> bits:
        raise _UnusableImageError("its values are signed, 32-bit or floating-point, and the value of white is unknown")
    gray: NDArray[np.uint8] = (numbers >> (bits - 8)).astype(np.uint8)
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:
        gray = 255 - gray  # white is zero; Pillow handles this for 8 bits only
    if (transparent := image.info.get("transparency")) is not None:
        gray[numbers == transparent] = 255
    return gray


def _read_orientation(image: Image.Image) -> Image.Transpose | None:
    """Return the transposition that makes the image upright; None if its metadata is damaged."""
    try:
        return _TRANSPOSE_BY_ORIENTATION.get(image.getexif().get(0x0112, 1))
    except Exception:
        return None


def _describe_error(reason: Exception) -> str:
    match reason:
        case UnidentifiedImageError():
            return "its format is unknown"
        case Image.DecompressionBombError():
            return f"it has more than {MAX_PIXELS:,} pixels"
        case MemoryError():
            return "there is not enough memory"
        case OSError(strerror=str(message)):
            return message[:1].lower() + message[1:]
    return str(reason).rstrip(".") or type(reason).__name__
