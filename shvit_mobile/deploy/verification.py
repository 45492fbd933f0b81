"""The proof of an exact rewrite: it is compared in float64 with what it replaces, on random inputs."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from shvit_mobile.errors import VerificationFailed
from shvit_mobile.families.shvit import SHViT, SingleHeadAttention
from shvit_mobile.families.trained_model import TrainedModel

_MAX_RELATIVE_ERROR = 1e-9


def copy_to_float64(model: SHViT) -> SHViT:
    """Return a copy in float64, in eval mode, on the CPU: not every accelerator has float64."""
    return deepcopy(model).cpu().double().eval()


def verify_error(description: str, error: float) -> None:
    """Raise `VerificationFailed` unless `error` is within tolerance; NaN is not."""
    if not error <= _MAX_RELATIVE_ERROR:
        raise VerificationFailed(
            f"{description} differs from its original by {error:.1e}, relative; {_MAX_RELATIVE_ERROR:.0e} is allowed.",
            why="An exact rewrite has the outputs of its original; weights or statistics may hold infinities or NaN.",
        )


def compute_relative_error(reference: Tensor, actual: Tensor) -> float:
    """Return the largest difference divided by the largest magnitude of the reference."""
    return float((reference - actual).abs().max() / reference.abs().max().clamp(min=1e-30))


def generate_layer_inputs(layer: nn.Module) -> Tensor:
    """Generate inputs of unit variance for a folded layer, larger than its kernel on every side."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(layer, nn.Linear):
        return torch.randn(8, layer.in_features, generator=generator, dtype=torch.float64)
    if isinstance(layer, SingleHeadAttention):
        return torch.randn(2, layer.dim, 5, 4, generator=generator, dtype=torch.float64)
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"{type(layer).__name__} takes no images or features")
    height, width = layer.kernel_size
    return torch.randn(2, layer.in_channels, height + 4, width + 3, generator=generator, dtype=torch.float64)


def generate_pixels(trained: TrainedModel) -> Tensor:
    """Generate two images of integer pixel values 0 to 255 in float64, of the model's image size."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, *trained.preprocessing.size)
    return torch.randint(0, 256, shape, generator=generator).double()
