"""Checks of the tensors of a model that was found: dense floats, as many as the file holds, with plausible values."""

from collections.abc import Mapping

import torch
from torch import Tensor

from shvit_mobile.errors import BadCheckpoint
from shvit_mobile.families.containers import DOWNLOAD_AGAIN_HINT, format_faults
from shvit_mobile.families.discover import Candidate, StoredModel, StoredTensor

_FLOAT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
# Trained weights are below a million; the product of two numbers above this overflows float32.
_MAX_MAGNITUDE = 1e18


def check_claims(model: StoredModel, size: int, name: str) -> None:
    """Raise `BadCheckpoint` if a model has more elements than the file has bytes; views can claim any number."""
    if sum(one.numel() for one in model.tensors.values() if isinstance(one, Tensor)) > size:
        raise BadCheckpoint(f"{name} claims more weights than fit into its {size} bytes.", hint=DOWNLOAD_AGAIN_HINT)


def check_types(candidate: Candidate, name: str) -> None:
    """Raise `BadCheckpoint` if a tensor has no dense float values."""
    faults = (_describe_type_fault(candidate.rename(key), one) for key, one in candidate.tensors.items())
    if found := [fault for fault in faults if fault]:
        raise BadCheckpoint(f"{name}: {format_faults(found)}.", why="All weights of a SHViT are float tensors.")


def convert_tensors(candidate: Candidate, name: str) -> dict[str, Tensor]:
    """Return the tensors of a complete model as float32, or raise `BadCheckpoint` if a model cannot run with them."""
    check_types(candidate, name)
    named = {candidate.rename(key): one for key, one in candidate.tensors.items()}
    return dict(zip(candidate.tensors, convert_values(named, name).values(), strict=True))


def convert_values(named: Mapping[str, StoredTensor], name: str) -> dict[str, Tensor]:
    """Return weights as float32.

    Args:
        named: The weights by name.
        name: The file's name in errors.

    Raises:
        BadCheckpoint: If one has no dense float values, or such that a model cannot run with them.
    """
    if found := [fault for fault in map(_describe_type_fault, named, named.values()) if fault]:
        raise BadCheckpoint(f"{name}: {format_faults(found)}.", why="All weights of a model are float tensors.")
    tensors = {key: _copy_to_float32(one) for key, one in named.items() if isinstance(one, Tensor)}
    checked = (_describe_value_fault(key, tensor) for key, tensor in tensors.items())
    if faults := [fault for fault in checked if fault]:
        raise BadCheckpoint(
            f"{name}: {format_faults(faults)}.",
            why="Every output of the model would be wrong: the training diverged, or the file is damaged.",
            hint="Use an earlier checkpoint of that training.",
        )
    return tensors


def _copy_to_float32(tensor: Tensor) -> Tensor:
    """Return a contiguous float32 copy."""
    return tensor.detach().to(torch.float32).clone(memory_format=torch.contiguous_format)


def _describe_type_fault(key: str, value: object) -> str:
    """Describe why a value cannot be a weight, apart from its numbers; empty if it can."""
    if not isinstance(value, Tensor) or value.is_nested:
        return f"{key} has no dense values"
    if value.dtype not in _FLOAT_DTYPES:
        return f"{key} is {str(value.dtype).removeprefix('torch.')}, not float"
    if value.layout is not torch.strided or value.device.type != "cpu":
        return f"{key} has no dense values"
    return f"{key} has the shape {tuple(value.shape)} without elements" if not value.numel() else ""


def _describe_value_fault(key: str, tensor: Tensor) -> str:
    """Describe what is wrong with the numbers of a weight; empty if nothing is."""
    least, most = tensor.aminmax()  # both propagate NaN, in a third of the time of isfinite
    if not (least.isfinite() and most.isfinite()):
        return f"{key} contains NaN or infinity ({int((~tensor.isfinite()).sum())} of {tensor.numel()} values)"
    if (largest := max(abs(float(least)), abs(float(most)))) > _MAX_MAGNITUDE:
        return f"{key} contains {largest:.2g}, with which float32 overflows"
    if key.endswith("running_var") and least < 0:
        return f"{key} contains a variance below 0"
    return ""
