"""Unpack elements smaller than a byte, which are packed without gaps, least significant bit first."""

import numpy as np
from numpy.typing import NDArray


def unpack_bits(packed: NDArray[np.uint8], bits: int, count: int, *, signed: bool = False) -> NDArray[np.generic]:
    """Unpack `count` elements of `bits` bits each.

    Source: the notes of `constexpr_lut_to_dense`, coremltools, ops/defs/iOS16/constexpr_ops.py.

    Args:
        packed: At least `count * bits / 8` bytes.
        bits: 1 to 8.
        count: The number of elements.
        signed: Whether they are in two's complement.

    Returns:
        uint8, or int8 if signed; shape (count,).
    """
    single = np.unpackbits(packed, bitorder="little", count=count * bits).reshape(count, bits)
    values = np.packbits(single, axis=1, bitorder="little")[:, 0]
    if not signed:
        return values
    sign = np.uint8(1 << (bits - 1))
    return ((values ^ sign).astype(np.int16) - np.int16(sign)).astype(np.int8)
