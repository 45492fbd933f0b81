"""The proof of an exact rewrite: it is compared in float64 with what it replaces, on random inputs."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from shvit_mobile.errors import VerificationFailed
from shvit_mobile.families.trained_model import TrainedModel

_MAX_RELATIVE_ERROR = 1e-9
# After a stride of 16: 11 x 7 positions, then 6 x 4 and 3 x 2.
_PROOF_SIZE = (176, 112)


def copy_to_float64(model: nn.Module) -> nn.Module:
    """Return a copy in float64, in eval mode, on the CPU: not every accelerator has float64."""
    return convert_dtype(deepcopy(model), torch.zeros((), dtype=torch.float64))


def convert_dtype(model: nn.Module, example: Tensor) -> nn.Module:
    """Convert a model in place to the dtype and device of `example`, in eval mode.

    Some models keep what they have computed once for inference; train mode makes them forget it in the old dtype.
    """
    return model.train().to(dtype=example.dtype, device=example.device).eval()


def verify_error(description: str, error: float) -> None:
    """Raise `VerificationFailed` unless `error` is within tolerance; NaN is not."""
    if not error <= _MAX_RELATIVE_ERROR:
        raise VerificationFailed(
            f"{description} differs from its original by {error:.1e}, relative; {_MAX_RELATIVE_ERROR:.0e} is allowed.",
            why="An exact rewrite has the outputs of its original; weights or statistics may hold infinities or NaN.",
        )


def compute_relative_error(reference: Tensor | Sequence[Tensor], actual: Tensor | Sequence[Tensor]) -> float:
    """Return the largest difference divided by the reference's largest magnitude; of several tensors, the worst."""
    pairs = zip(list_tensors(reference), list_tensors(actual), strict=True)
    errors = [(one - other).abs().max() / one.abs().max().clamp(min=1e-30) for one, other in pairs]
    return float(torch.stack(errors).max())  # NaN if one of them is


def list_tensors(outputs: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the outputs of a module, which returns one tensor or several."""
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def generate_layer_inputs(layer: nn.Module) -> Tensor:
    """Generate inputs of unit variance for a layer, larger than its kernel on every side; float64.

    Args:
        layer: A linear layer, or a module with `in_channels` and perhaps a `kernel_size`.
    """
    generator = torch.Generator().manual_seed(0)
    if isinstance(layer, nn.Linear):
        return torch.randn(8, layer.in_features, generator=generator, dtype=torch.float64)
    channels, kernel = getattr(layer, "in_channels", None), getattr(layer, "kernel_size", (1, 1))
    if not isinstance(channels, int):
        raise TypeError(f"{type(layer).__name__} takes no images or features")
    dilation = getattr(layer, "dilation", (1, 1))
    sides = [1 + d * (side - 1) + more for side, d, more in zip(kernel, dilation, (4, 3), strict=False)]
    return torch.randn(2, channels, *sides, generator=generator, dtype=torch.float64)


def generate_pixels(trained: TrainedModel) -> Tensor:
    """Generate two images of integer pixel values 0 to 255 in float64, of the size that a model is verified at."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, *choose_proof_size(trained))
    return torch.randint(0, 256, shape, generator=generator).double()


def choose_proof_size(trained: TrainedModel) -> tuple[int, int]:
    """Return the size of images, (height, width), at which a model is verified.

    It is the model's own, unless its modules compute the same function at every size: then a small one, of another
    height than width, proves the same with less time and memory.
    """
    height, width = trained.preprocessing.size
    if not trained.family.has_any_size:
        return height, width
    return min(height, _PROOF_SIZE[0]), min(width, _PROOF_SIZE[1])
