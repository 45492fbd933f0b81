"""Read the weights of a package: constants in `weight.bin` instead of the program.

Layout, from mlmodel/src/MILBlob/Blob/StorageFormat.hpp of coremltools, all little-endian: a header of 64 bytes that
starts with the number of blobs and the format version; for each blob a record of 64 bytes at a multiple of 64
(sentinel, data type, bytes of data, offset of the data, bits of padding at its end) and its data.
"""

import struct
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import MAX_ARTIFACT_BYTES
from shvit_mobile.contracts.files import read_bytes
from shvit_mobile.errors import BadArtifact
from shvit_mobile.targets.coreml.spec.dtypes import DTYPES, Dtype

_HEADER_BYTES = _RECORD_BYTES = _ALIGNMENT = 64
_VERSIONS = (1, 2)
_SENTINEL = 0xDEADBEEF
HEADER, RECORD = struct.Struct("<II"), struct.Struct("<IIQQQ")


class BlobFile:
    """The contents of a `weight.bin`.

    Raises:
        BadArtifact: If it is missing, shorter than its header, or of an unknown version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes = read_bytes(path, limit=MAX_ARTIFACT_BYTES, error=BadArtifact, what="a file of weights")
        if len(self._bytes) < _HEADER_BYTES:
            raise self._build_damage_error(f"has {len(self._bytes)} bytes, fewer than its header")
        _, version = HEADER.unpack_from(self._bytes)
        if version not in _VERSIONS:
            raise self._build_damage_error(f"has the version {version} in its header, not one of {_VERSIONS}")

    def read_array(self, offset: int, dtype: Dtype, shape: tuple[int, ...]) -> NDArray[np.generic]:
        """Return the constant whose record is at `offset`, in its stored dtype; read-only.

        Raises:
            BadArtifact: If there is no such record, or it has another dtype or size.
        """
        if offset < _HEADER_BYTES or offset % _ALIGNMENT or offset + _RECORD_BYTES > len(self._bytes):
            raise self._build_damage_error(f"has {len(self._bytes)} bytes, and no record can lie at {offset}")
        sentinel, code, size, start, padding_bits = RECORD.unpack_from(self._bytes, offset)
        if sentinel != _SENTINEL:
            raise self._build_damage_error(
                f"has no record at {offset}: {sentinel:#010x} where {_SENTINEL:#010x} opens one"
            )
        if code != dtype.blob:
            raise self._build_damage_error(
                f"has {_get_dtype_name(code)} at {offset}, where the program expects {dtype.name}"
            )
        if start + size > len(self._bytes):
            raise self._build_damage_error(
                f"ends at {len(self._bytes)}, before the data {start} to {start + size} of {offset}"
            )
        count = prod(shape)
        if size * 8 - padding_bits != count * dtype.bits:
            raise self._build_damage_error(
                f"has {size} bytes of data for {offset}, where {dtype.name} {shape} was expected"
            )
        return decode_elements(self._bytes[start : start + size], dtype, count).reshape(shape)

    def _build_damage_error(self, what: str) -> BadArtifact:
        return BadArtifact(f"{self.path} {what}.", why="The weights are damaged or truncated.", hint="Export it again.")


def decode_elements(data: bytes, dtype: Dtype, count: int) -> NDArray[np.generic]:
    """Decode `count` elements to their stored dtype; `data` has exactly their bytes."""
    if dtype.bits < 8:
        return unpack_bits(np.frombuffer(data, np.uint8), dtype.bits, count, signed=dtype.signed)
    return np.frombuffer(data, dtype.stored)


def unpack_bits(packed: NDArray[np.uint8], bits: int, count: int, *, signed: bool = False) -> NDArray[np.generic]:
    """Unpack `count` elements of `bits` bits each, packed without gaps, least significant bit first.

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


def _get_dtype_name(code: int) -> str:
    return next((dtype.name for dtype in DTYPES.values() if dtype.blob == code), f"the data type {code}")
