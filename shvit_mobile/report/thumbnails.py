"""Checks thumbnails of drift reports, which anyone may write: the page shows small JPEGs only."""

import base64
import binascii
from io import BytesIO

from PIL import Image, UnidentifiedImageError

_MAX_SIDE = 512


def to_data_url(thumbnail: str | None) -> str | None:
    """Return the data URL of a thumbnail; None if it is not a JPEG of at most 512 pixels per side."""
    if thumbnail is None:
        return None
    try:
        encoded = base64.b64decode(thumbnail, validate=True)
        with Image.open(BytesIO(encoded), formats=["JPEG"]) as opened:
            if max(opened.size) > _MAX_SIDE:
                return None
            opened.load()
    except (binascii.Error, ValueError, OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
