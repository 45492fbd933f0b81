"""Decode MIL values: constants of a program as tensors, strings and lists."""

from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shvit_mobile.errors import BadArtifact
from shvit_mobile.targets.coreml.spec.blobs import decode_elements
from shvit_mobile.targets.coreml.spec.dtypes import Dtype, find_dtype
from shvit_mobile.targets.coreml.spec.package import MLPackage
from shvit_mobile.targets.coreml.spec.proto import import_messages

UNKNOWN_DIMENSION = -1
# numpy's kinds of the dtypes that each field of MIL.proto's TensorValue may contain; `bytes` may contain any.
_FIELD_KINDS = {"floats": "f", "doubles": "f", "ints": "iu", "longInts": "iu", "bools": "b"}
PythonValue = bool | int | float | str | list[Any]
Constant = Tensor | str | list[Any]


def decode_constant(value: Any, package: MLPackage, real: torch.dtype) -> Constant:
    """Decode a constant of the program.

    Args:
        value: MIL.proto's Value.
        package: The package with the blobs.
        real: The dtype of every float tensor.

    Returns:
        A tensor for numbers, a string, or a list (of strings, or of constants for a list in MIL).

    Raises:
        BadArtifact: If the value is damaged or is not a constant.
    """
    kind = value.type.WhichOneof("type")
    if kind == "listType":
        return [to_python(decode_constant(item, package, real)) for item in value.immediateValue.list.values]
    if kind != "tensorType":
        raise BadArtifact(f"It holds a constant of the kind {kind}.", why="Constants are tensors and lists.")
    if value.type.tensorType.dataType == import_messages("MIL_pb2").STRING:
        return _decode_strings(value)
    dtype, shape = find_dtype(value.type.tensorType.dataType), read_shape(value.type.tensorType)
    if UNKNOWN_DIMENSION in shape:
        raise BadArtifact(f"It holds a constant of the unknown shape {shape}.")
    return to_tensor(_read_elements(value, dtype, shape, package), dtype, real)


def to_python(constant: Constant) -> PythonValue:
    """Convert a constant to a number, a string or a (nested) list of them."""
    return constant.tolist() if isinstance(constant, Tensor) else constant


def read_shape(tensor_type: Any) -> tuple[int, ...]:
    """Return the shape of MIL.proto's TensorType; `UNKNOWN_DIMENSION` for a dimension known only at run time."""
    known = (d.WhichOneof("dimension") == "constant" for d in tensor_type.dimensions)
    return tuple(
        d.constant.size if k else UNKNOWN_DIMENSION for d, k in zip(tensor_type.dimensions, known, strict=True)
    )


def _decode_strings(value: Any) -> str | list[str]:
    strings = list(value.immediateValue.tensor.strings.values)
    if value.type.tensorType.dimensions:
        return strings
    if len(strings) != 1:
        raise BadArtifact(f"It holds {len(strings)} strings instead of one.")
    return str(strings[0])


def _read_elements(value: Any, dtype: Dtype, shape: tuple[int, ...], package: MLPackage) -> NDArray[np.generic]:
    """Read the elements of a tensor value in their stored dtype."""
    if value.WhichOneof("value") == "blobFileValue":
        blob = value.blobFileValue
        return package.open_blob_file(blob.fileName).read_array(blob.offset, dtype, shape)
    tensor = value.immediateValue.tensor
    field = tensor.WhichOneof("value")
    content: Any = getattr(tensor, field).values if field else ()
    count = prod(shape)
    expected = -(-count * dtype.bits // 8) if field == "bytes" else count
    if field != "bytes" and np.dtype(dtype.stored).kind not in _FIELD_KINDS.get(field, ""):
        raise BadArtifact(f"It holds {field or 'nothing'} for a constant {dtype.name} {shape}.")
    if len(content) != expected:
        raise BadArtifact(f"It holds {len(content)} {field} for a constant {dtype.name} {shape}, not {expected}.")
    array = decode_elements(content, dtype, count) if field == "bytes" else np.array(content, dtype.stored)
    return array.reshape(shape)


def to_tensor(array: NDArray[np.generic], dtype: Dtype, real: torch.dtype) -> Tensor:
    """Copy an array to a tensor in the dtype of values of this type."""
    return torch.from_numpy(array.astype(dtype.widened)).to(dtype.to_torch_dtype(real))
