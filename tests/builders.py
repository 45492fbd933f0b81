"""What tests build models from: SHViTs whose BatchNorms do something, small ones where size does not matter."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.families.light_detector import LightDetector, save_light_detector
from shvit_mobile.families.shvit import VARIANTS, FeedForward, SHViT, SHViTConfig
from shvit_mobile.families.shvit_family import SHVIT
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import open_images

TINY = SHViTConfig(dims=(16, 24, 32), partial_dims=(8, 9, 12), qk_dims=(8, 8, 8), depths=(1, 2, 1), classes=7)


def build_random_shvit(
    config: SHViTConfig | str = TINY, *, classes: int | None = None, distilled: bool = False, seed: int = 0
) -> SHViT:
    """A SHViT in eval mode whose norms and biases are far from the identity, and whose activations stay moderate."""
    config = VARIANTS[config] if isinstance(config, str) else config
    config = replace(config, classes=classes or config.classes, distilled=distilled)
    generator = torch.Generator().manual_seed(seed)
    model = SHViT(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                fan_in = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2 / fan_in) ** 0.5)
            elif name.endswith("weight"):
                parameter.copy_(0.3 + 0.6 * torch.rand(parameter.shape, generator=generator))
            else:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.copy_(0.2 * torch.randn(module.num_features, generator=generator))
                module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
    return model


def save_random_detector(path: Path, labels: tuple[str, ...], size: tuple[int, int]) -> Path:
    """Write a light detector whose norms are far from the identity, and which finds something everywhere."""
    torch.manual_seed(0)
    model = LightDetector(build_random_shvit(), len(labels), channels=8).eval()
    for layer in [*model.neck.modules(), *model.heads.modules()]:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.3, 0.9)
            nn.init.normal_(layer.bias, 0, 0.2)
            nn.init.normal_(layer.running_mean, 0, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(layer.running_var, 0.5, 1.5)  # type: ignore[arg-type]
        elif isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.normal_(layer.weight, 0, 0.5)
            nn.init.zeros_(layer.bias)
    save_light_detector(model, labels, Preprocessing(size, 1.0, resize_mode="squash"), path)
    return path


def build_trained_model(model: SHViT, *, size: tuple[int, int] = (64, 64), variant: str = "custom") -> TrainedModel:
    """`model` as `load_checkpoint` would return it."""
    return TrainedModel(
        model=model,
        family=SHVIT,
        variant=variant,
        dialect="shvit-mobile",
        labels=tuple(f"class {index}" for index in range(model.config.classes)),
        preprocessing=Preprocessing(size=size),
        source="made in a test",
        sha256="0" * 64,
    )


def draw_smooth_pixels(count: int, size: tuple[int, int], *, seed: int = 0) -> Tensor:
    """Pictures of broad coloured patches as float pixels 0 to 255, shape (count, 3, height, width)."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.rand(count, 3, 6, 6, generator=generator) * 255
    return nn.functional.interpolate(patches, size=size, mode="bicubic").clamp(0, 255).round()


def write_picture_folder(
    folder: Path, *, count: int, size: tuple[int, int] = (72, 60), classes: tuple[str, ...] = ()
) -> Path:
    """A folder of JPEGs of broad coloured patches; in class folders, in turn, where `classes` are given."""
    for index, pixels in enumerate(draw_smooth_pixels(count, size)):
        place = folder / classes[index % len(classes)] if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(pixels.permute(1, 2, 0).to(torch.uint8).numpy())
        picture.save(place / f"{index:04}.jpg", quality=95)
    return folder


@torch.no_grad()
def fit_head(trained: TrainedModel, folder: Path) -> TrainedModel:
    """`trained`, with a head that gets the pictures in the class folders of `folder` right."""
    images = open_images(folder, labels=trained.labels)
    (batch,) = iterate_batches(images, trained.preprocessing, size=len(images))
    pixels = torch.from_numpy(trained.preprocessing.normalize(batch.pixels))
    head: nn.Module = trained.model.head
    features = head.bn(trained.model.forward_features(pixels).mean((2, 3)))
    wanted = 4 * nn.functional.one_hot(torch.from_numpy(batch.labels), len(trained.labels)).float()
    # Directions that hold rounding errors alone would get weights of any size, and other ones on each machine.
    centered = features - features.mean(0), wanted - wanted.mean(0)
    solution = torch.linalg.lstsq(*centered, rcond=1e-3, driver="gelsd").solution
    head.l.weight.copy_(solution.T)
    head.l.bias.copy_(wanted.mean(0) - features.mean(0) @ solution)
    return trained


@torch.no_grad()
def add_outliers(model: SHViT, *, factor: float = 50.0) -> SHViT:
    """A copy with one channel of each feed-forward part `factor` times as large, and read by weights as much smaller.

    Exact in float where `factor` is a power of two, and ruinous for an int8 value whose channels share a scale.
    """
    planted = deepcopy(model)
    for part in planted.modules():
        if isinstance(part, FeedForward):
            part.pw1.register_forward_hook(partial(make_outlier, part, factor))
    planted(draw_smooth_pixels(2, (64, 64)) / 128 - 1)
    for part in planted.modules():
        if isinstance(part, FeedForward):
            part.pw1._forward_hooks.clear()
    return planted


def make_outlier(part: FeedForward, factor: float, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Makes the largest channel of a feed-forward part that much larger; its output as it then is."""
    channel = int(output.amax((0, 2, 3)).argmax())
    part.pw1.bn.weight[channel] *= factor
    part.pw1.bn.bias[channel] *= factor
    part.pw2.c.weight[:, channel] /= factor
    changed = output.clone()
    changed[:, channel] *= factor
    return changed
