"""The dtypes of MIL values, in a package and in tensors."""

from dataclasses import dataclass

import numpy as np
import torch

from shvit_mobile.errors import BadArtifact
from shvit_mobile.targets.coreml.spec.proto import import_messages


@dataclass(frozen=True)
class Dtype:
    """One data type.

    Attributes:
        name: Its name in MIL.proto.
        bits: The bits of a stored element.
        stored: numpy's dtype of a stored element, after unpacking elements smaller than a byte.
        widened: numpy's dtype of the same element in a type that every torch operator supports.
        blob: Its code in `weight.bin` (mlmodel/src/MILBlob/Blob/BlobDataType.hpp of coremltools), or None.
    """

    name: str
    bits: int
    stored: str
    widened: str
    blob: int | None

    @property
    def floating(self) -> bool:
        return self.name.startswith("FLOAT")

    @property
    def signed(self) -> bool:
        return self.name.startswith("INT")

    def to_torch_dtype(self, real: torch.dtype) -> torch.dtype:
        """Return the dtype of tensors of this type, if floats are computed in `real`."""
        return real if self.floating else torch.from_numpy(np.empty(0, self.widened)).dtype


DTYPES: dict[str, Dtype] = {
    dtype.name: dtype
    for dtype in (
        Dtype("BOOL", 8, "?", "?", None),
        Dtype("FLOAT16", 16, "<f2", "<f2", 1),
        Dtype("FLOAT32", 32, "<f4", "<f4", 2),
        Dtype("FLOAT64", 64, "<f8", "<f8", None),
        Dtype("INT8", 8, "i1", "i1", 4),
        Dtype("INT16", 16, "<i2", "<i2", 6),
        Dtype("INT32", 32, "<i4", "<i4", 14),
        Dtype("INT64", 64, "<i8", "<i8", None),
        Dtype("INT4", 4, "i1", "i1", 8),
        Dtype("UINT8", 8, "u1", "u1", 3),
        Dtype("UINT16", 16, "<u2", "<i4", 7),
        Dtype("UINT32", 32, "<u4", "<i8", 15),
        Dtype("UINT6", 6, "u1", "u1", 13),
        Dtype("UINT4", 4, "u1", "u1", 11),
        Dtype("UINT3", 3, "u1", "u1", 12),
        Dtype("UINT2", 2, "u1", "u1", 10),
        Dtype("UINT1", 1, "u1", "u1", 9),
    )
}


def find_dtype(code: int) -> Dtype:
    """Return the dtype with the number `code` in MIL.proto.

    Raises:
        BadArtifact: If there is none, or it is not supported (bfloat16 and the 8-bit floats).
    """
    names = {number: name for name, number in import_messages("MIL_pb2").DataType.items()}
    name = names.get(code, f"number {code}")
    if name not in DTYPES:
        raise BadArtifact(f"It has values of the data type {name}.", why=f"Supported: {', '.join(DTYPES)}.")
    return DTYPES[name]
