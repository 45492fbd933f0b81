"""The scale at which the apps decode a photo: a rule that Python, Swift and Kotlin share (`schemas/vectors`)."""

from shvit_mobile.contracts.preprocessing import Preprocessing

# A decoded photo and the memory that it is drawn into take 8 bytes a pixel in both apps: 134 MB.
MAX_DECODED_PIXELS = 1 << 24
# JPEG decoders divide the sides by 2, 4 or 8.
MAX_REDUCTION = 8
# The median change of the pixels is then 0.6 of 255 or less; with no more than needed, 2 (tools/reduced_scale.py).
_MIN_OVERSIZE = 2


def choose_reduction(height: int, width: int, preprocessing: Preprocessing | None = None) -> int:
    """Choose the power of two by which the apps divide the sides of an upright photo when they decode it.

    It is 1 for a photo of at most 2^24 pixels; a larger one is divided until it has no more. With `preprocessing`, a
    JPEG is divided further, by at most 8, if both sides can be divided without a remainder and stay at least twice as
    long as preprocessing resizes them to.

    Args:
        preprocessing: The preprocessing of the model, if the app may decode at reduced scale (default: it may not).
    """
    reduction = 1
    while divide_side(height, reduction) * divide_side(width, reduction) > MAX_DECODED_PIXELS:
        reduction *= 2
    if preprocessing is None:
        return reduction
    sides = tuple(zip((height, width), preprocessing.compute_resized_size(height, width), strict=True))
    while 2 * reduction <= MAX_REDUCTION and all(
        side % (2 * reduction) == 0 and side // (2 * reduction) >= _MIN_OVERSIZE * resized for side, resized in sides
    ):
        reduction *= 2
    return reduction


def divide_side(side: int, reduction: int) -> int:
    """Divide a side without its remainder; a picture keeps at least one pixel."""
    return max(side // reduction, 1)
