"""MIL operators that decompress weights; they run once, when the program is loaded.

Sources: iOS16/constexpr_ops.py and iOS18/compression.py. If both define a name, iOS16's form is the one with `shape`.
"""

from math import log2, prod

import numpy as np
import torch
from torch import Tensor

from shvit_mobile.runtimes.mil.quantization import dequantize
from shvit_mobile.targets.coreml.spec.blobs import unpack_bits


def constexpr_affine_dequantize(quantized_data: Tensor, zero_point: Tensor, scale: Tensor, *, axis: int) -> Tensor:
    """scale * (data - zero_point), per tensor or per channel."""
    return dequantize(quantized_data, scale, zero_point, axis=axis)


def constexpr_blockwise_shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """scale * (data - offset), with one scale and offset per block along each axis."""
    steps = data.to(scale.dtype)
    if offset is not None:
        steps = steps - _expand_blocks(offset, data.shape)
    return steps * _expand_blocks(scale, data.shape)


def constexpr_lut_to_dense(
    indices: Tensor, lut: Tensor, *, shape: list[int] | None = None, vector_axis: int | None = None
) -> Tensor:
    """Indices into a palette; iOS18's palettes may differ by block, and may contain vectors along an axis."""
    if shape is not None:
        count, bits = prod(shape), int(log2(lut.numel()))
        return lut[_unpack_tensor(indices, bits, count).long()].reshape(shape)
    palettes, vector = lut.shape[-2:]
    blocks = torch.arange(prod(lut.shape[:-2])).reshape(lut.shape[:-2])
    rows = _expand_blocks(blocks, indices.shape) * palettes + indices
    vectors = lut.reshape(-1, vector)[rows]
    if vector_axis is None or vector == 1:
        return vectors.squeeze(-1)
    axis = vector_axis % indices.ndim
    return vectors.movedim(-1, axis + 1).flatten(axis, axis + 1)


def constexpr_sparse_to_dense(nonzero_data: Tensor, mask: Tensor, *, shape: list[int] | None = None) -> Tensor:
    """The nonzero elements where the mask is 1, and zeros elsewhere."""
    if shape is not None:
        mask = _unpack_tensor(mask, 1, prod(shape)).reshape(shape)
    dense = torch.zeros(mask.shape, dtype=nonzero_data.dtype)
    dense[mask.bool()] = nonzero_data
    return dense


def constexpr_lut_to_sparse(
    indices_mask: Tensor, indices_nonzero_data: Tensor, lut: Tensor, *, vector_axis: int | None = None
) -> tuple[Tensor, Tensor]:
    """`constexpr_lut_to_dense` on the elements where the mask is 1; the mask grows with the vectors."""
    indices = constexpr_sparse_to_dense(indices_nonzero_data, indices_mask)
    dense = constexpr_lut_to_dense(indices, lut, vector_axis=vector_axis)
    mask = indices_mask
    if vector_axis is not None:
        mask = mask.repeat_interleave(lut.shape[-1], vector_axis)
    return mask, dense[mask.bool()]


def constexpr_sparse_blockwise_shift_scale(
    data_mask: Tensor, nonzero_data: Tensor, scale: Tensor, offset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`constexpr_blockwise_shift_scale` on the elements where the mask is 1."""
    dense = constexpr_sparse_to_dense(nonzero_data, data_mask)
    return data_mask, constexpr_blockwise_shift_scale(dense, scale, offset)[data_mask.bool()]


def _expand_blocks(parameter: Tensor, shape: tuple[int, ...] | torch.Size) -> Tensor:
    """Repeat the elements of `parameter` along each axis, block by block, up to `shape`."""
    for axis, (blocks, size) in enumerate(zip(parameter.shape, shape, strict=True)):
        if blocks == 1:
            parameter = parameter.expand(*parameter.shape[:axis], size, *parameter.shape[axis + 1 :])
        elif blocks != size:
            parameter = parameter.repeat_interleave(size // blocks, axis)
    return parameter


def _unpack_tensor(packed: Tensor, bits: int, count: int) -> Tensor:
    return torch.from_numpy(unpack_bits(packed.numpy().astype(np.uint8), bits, count))
