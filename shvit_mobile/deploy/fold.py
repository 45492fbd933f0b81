"""Folding of a trained model to its deploy form: no BatchNorm where it can be folded, and the normalization inside.

Every fold is compared in float64 with what it replaces, and the deploy form with the model.
"""

from collections import OrderedDict
from collections.abc import Mapping
from copy import deepcopy
from itertools import zip_longest
from typing import Any, Literal

import torch
from torch import Tensor, nn

from shvit_mobile.contracts.manifest import OutputContract, OutputMap
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.deploy.exported_graph import ExportedGraph, fold_batchnorms, has_batchnorm
from shvit_mobile.deploy.form import CLASSIFIER_OUTPUT, DeployForm, MeanSubtraction
from shvit_mobile.deploy.layers import get_layer, hook_layers, insert_layer
from shvit_mobile.deploy.verification import (
    choose_proof_size,
    compute_relative_error,
    convert_dtype,
    copy_to_float64,
    generate_layer_inputs,
    generate_pixels,
    verify_error,
)
from shvit_mobile.errors import NotSupported, get_first_line
from shvit_mobile.families.family import Family, ModuleRewrite
from shvit_mobile.families.trained_model import TrainedModel


@torch.no_grad()
def to_deploy_form(trained: TrainedModel, *, normalise: bool = True) -> DeployForm:
    """Fold a trained model, which itself does not change, to its deploy form.

    Args:
        trained: The model, in any dtype, on any device, in train or eval mode.
        normalise: Bake (pixel / 255 - mean) / std into the graph, so that the module takes pixels, 0 to 255.

    Raises:
        VerificationFailed: If the result differs from the original by more than 1e-9 relative, in float64.
        NotSupported: If the model does not take three colors, or torch.export does not accept it.
    """
    example = next(trained.model.parameters())
    original = copy_to_float64(trained.model)
    pixels = generate_pixels(trained)
    images = normalize_pixels(pixels, trained.preprocessing)
    reference = _compute_outputs(original, images, trained)
    fused, first_layers = _fold(original, trained.family, images[:1])
    if trained.family.entry:
        entry = fused.get_submodule(trained.family.entry)
    else:
        entry = fused = nn.Sequential(OrderedDict(model=fused))
        first_layers = tuple(f"model.{name}" for name in first_layers)
    if not isinstance(entry, nn.Sequential):
        raise TypeError(f"{trained.family.entry} is no chain of layers")
    if normalise:
        bake_normalization(fused, entry, first_layers, trained.preprocessing)

    error = compute_relative_error(reference, fused(pixels if normalise else images))
    verify_error("the deploy form", error)
    module = convert_dtype(fused, example).requires_grad_(False)
    domain: Literal["pixels", "normalised"] = "pixels" if normalise else "normalised"
    return DeployForm(module, trained, domain, error, first_layers, _describe_outputs(original, trained, reference))


def _compute_outputs(model: nn.Module, images: Tensor, trained: TrainedModel) -> tuple[Tensor, ...]:
    """Compute the logits or the maps of `images`, shape (images, 3, height, width), and check their shapes."""
    height, width = trained.preprocessing.size
    try:
        outputs = model(images)
    except Exception as reason:
        raise NotSupported(
            f"{trained.variant} does not run on color images of {height}x{width}: {get_first_line(reason)}",
            hint="Give the size that it was trained for.",
            parameter="size",
        ) from reason
    if trained.task != "classify":
        return _check_maps(outputs, len(images), trained)
    if not isinstance(outputs, Tensor) or outputs.shape != (len(images), trained.classes):
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise NotSupported(
            f"{trained.variant} returns {shape} for {len(images)} images, not logits of {trained.classes} classes.",
            why="A classifier returns one number for each image and class.",
            hint="For a tuple of maps, wrap the module with task='features'.",
        )
    return (outputs,)


def _check_maps(outputs: Any, images: int, trained: TrainedModel) -> tuple[Tensor, ...]:
    """Return the maps that a model computed for some images; raise `NotSupported` if they are none."""
    maps = (outputs,) if isinstance(outputs, Tensor) else outputs
    is_sequence = isinstance(maps, tuple | list) and len(maps) > 0
    if not is_sequence or not all(isinstance(one, Tensor) and one.ndim == 4 and len(one) == images for one in maps):
        raise NotSupported(
            f"{trained.variant} does not return a tuple of maps for the task {trained.task}.",
            why="A map has the shape (images, channels, height, width).",
        )
    if trained.map_names and len(trained.map_names) != len(maps):
        raise NotSupported(
            f"{trained.variant} returns {len(maps)} maps, and has {len(trained.map_names)} names for them."
        )
    return tuple(maps)


def _find_stride(size: tuple[int, int], positions: tuple[int, int], declared: int | None) -> int:
    """Return the stride of a map: the smallest power of two that fits, because sides are rounded up.

    Args:
        size: (height, width) of the images.
        positions: (height, width) of the map.
        declared: What a detector says, which counts if it fits: of a map with one position, several do.
    """
    pairs = list(zip(size, positions, strict=True))
    powers = (2**power for power in range(max(size).bit_length() + 1))
    strides = powers if declared is None else (declared, *powers)
    fitting = (stride for stride in strides if all(-(-side // stride) == count for side, count in pairs))
    return next(fitting, max(1, round(size[0] / positions[0])))


def _describe_outputs(model: nn.Module, trained: TrainedModel, reference: tuple[Tensor, ...]) -> OutputContract:
    """Return the outputs of a model for images of its size; `reference` are its outputs at the size of the proof."""
    if trained.task == "classify":
        return CLASSIFIER_OUTPUT
    size = trained.preprocessing.size
    if size != choose_proof_size(trained):
        # Shapes alone, without computing values.
        on_meta = deepcopy(model).to("meta")
        reference = tuple(on_meta(torch.zeros(1, 3, *size, dtype=torch.float64, device="meta")))
    # A detector's outputs are the maps of scores of each stride, then those of boxes.
    known = 2 * trained.detection.strides if trained.detection else ()
    strides = [
        _find_stride(size, (one.shape[2], one.shape[3]), declared)
        for one, declared in zip_longest(reference, known[: len(reference)])
    ]
    names = trained.map_names or tuple(f"stride{stride}" for stride in strides)
    maps = (
        OutputMap(name=name, shape=(one.shape[1], one.shape[2], one.shape[3]), stride=stride)
        for name, stride, one in zip(names, strides, reference, strict=True)
    )
    return OutputContract(maps=tuple(maps))


@torch.no_grad()
def fold_batchnorm(trained: TrainedModel) -> nn.Module:
    """Return a copy of a model in eval mode with what its family merges, and all BatchNorms that fold exactly.

    Folds are computed and verified in float64 on the CPU; the copy has the model's dtype and device. A model that is
    folded already stays the same.

    Raises:
        VerificationFailed: If a fold is not exact.
        NotSupported: If BatchNorms remain and torch.export does not accept the model.
    """
    images = normalize_pixels(generate_pixels(trained)[:1], trained.preprocessing)
    fused, _ = _fold(copy_to_float64(trained.model), trained.family, images)
    return convert_dtype(fused, next(trained.model.parameters()))


def _fold(model: nn.Module, family: Family, image: Tensor) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a folded copy of a model, and the layers that take the image.

    Args:
        model: In float64, in eval mode, on the CPU.
        family: Its family.
        image: shape (1, 3, height, width), float64.
    """
    fused = family.reparameterize(deepcopy(model))
    _fold_children(fused, family.folds)
    _add_missing_biases(fused)
    if family.first_layers is not None and not has_batchnorm(fused):
        return fused, family.first_layers
    graph = ExportedGraph(fused, image)
    fold_batchnorms(fused, graph)
    _fold_constant_layers(fused, graph.find_constant_layers(), image)
    return fused, graph.find_input_layers() if family.first_layers is None else family.first_layers


def _fold_constant_layers(model: nn.Module, names: tuple[str, ...], image: Tensor) -> None:
    """Replace in place layers that compute the same for every image, such as those of a position, by their output."""

    def keep_output(name: str, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        model.set_submodule(name, ConstantLayer(output))

    with hook_layers([(name, model.get_submodule(name)) for name in names], keep_output):
        if names:
            model(image)


class ConstantLayer(nn.Module):
    """A layer that returns the same for every input.

    Args:
        value: What it returns, for a batch of one.
    """

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value.detach().clone())

    @property
    def weight(self) -> Tensor:
        """What models ask for the dtype and device of a layer."""
        return self.value

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand(x.shape[0], *self.value.shape[1:])


def _add_missing_biases(model: nn.Module) -> None:
    """Give every convolution and linear layer a bias, which calibration may change."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear) and layer.bias is None:
            layer.bias = nn.Parameter(layer.weight.new_zeros(len(layer.weight)))


def _fold_children(module: nn.Module, folds: Mapping[type[nn.Module], ModuleRewrite]) -> None:
    for name, child in module.named_children():
        fold = folds.get(type(child))
        fused = child if fold is None else fold(child)
        if fused is child:
            _fold_children(child, folds)
            continue
        inputs = generate_layer_inputs(fused)
        verify_error(f"a fold of {type(child).__name__}", compute_relative_error(child(inputs), fused(inputs)))
        setattr(module, name, fused)


@torch.no_grad()
def bake_normalization(
    fused: nn.Module, entry: nn.Sequential, first_layers: tuple[str, ...], preprocessing: Preprocessing
) -> None:
    """Change a folded model in place to take pixels, 0 to 255: it subtracts the mean and scales by 1 / (255 std).

    The mean cannot go into the bias of the first layers, since they may pad with zeros after normalization: only the
    inside of the image would be right. Zero is zero at any scale, so the standard deviation goes into their weights. If
    something else than convolutions takes the image, it is scaled where the mean is subtracted.
    """
    dtype = next(fused.parameters()).dtype
    mean, std = (255 * torch.tensor(values, dtype=dtype) for values in (preprocessing.mean, preprocessing.std))
    for name in first_layers:
        get_layer(fused, name).weight.div_(std[:, None, None])
    insert_layer(entry, 0, "centre", MeanSubtraction(mean, None if first_layers else 1 / std))


def normalize_pixels(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    mean = torch.tensor(preprocessing.mean, dtype=pixels.dtype)[:, None, None]
    std = torch.tensor(preprocessing.std, dtype=pixels.dtype)[:, None, None]
    return (pixels / 255 - mean) / std
