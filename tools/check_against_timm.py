"""Proves our SHViT and our reading of timm's checkpoints against timm's own model, for all four variants.

timm is no dependency of this project. It needs an environment of its own with torch and timm beside what loading a
checkpoint imports; torchvision's compiled operators are not needed, whatever wheel of it is at hand:

    python3 -m venv /tmp/timm-env
    /tmp/timm-env/bin/pip install torch==2.13.0 pillow pyyaml safetensors huggingface_hub pydantic numpy
    /tmp/timm-env/bin/pip install --no-deps torchvision==0.28.0 timm
    PYTHONPATH=. /tmp/timm-env/bin/python tools/check_against_timm.py

Exit status 0 where every name is the same and every logit within 1e-5, else 1.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from shvit_mobile.model.checkpoints import load_checkpoint
from shvit_mobile.model.shvit import NATIVE_SIZES, VARIANTS, shvit

TOLERANCE = 1e-5


def main() -> int:
    """Prints one row for each variant and file, and returns the exit status."""
    timm = timm_without_compiled_torchvision()
    print(f"timm {timm.__version__}, torch {torch.__version__}")
    print(f"{'variant':9} {'classes':>7} {'file':16} {'same names':>10} {'size':>9} {'|logits|':>9} {'difference':>10}")
    results = [row for variant in VARIANTS for classes in (1000, 37) for row in check(timm, variant, classes)]
    print("all equal" if all(results) else "NOT EQUAL")
    return 0 if all(results) else 1


def timm_without_compiled_torchvision() -> object:
    """timm, after declaring two operators that torchvision registers fakes for and a wheel for another torch lacks."""
    if not hasattr(torch.ops.torchvision, "nms"):
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["library"] = library  # its definitions last as long as it does
    import timm

    return timm


def check(timm, variant: str, classes: int) -> list[bool]:
    """Whether timm's model and ours, read from timm's state dict, are the same; one answer for each file written."""
    model = randomised(timm.create_model(variant, pretrained=False, num_classes=classes))
    state = model.state_dict()
    same_names = set(state) == set(shvit(variant, classes=classes).state_dict())
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "safetensors": Path(folder, f"{variant}.safetensors"),
            "pth": Path(folder, f"{variant}.pth"),
            "pth, state_dict": Path(folder, f"{variant}-training.pth"),
        }
        safetensors.torch.save_file(state, files["safetensors"])
        torch.save(state, files["pth"])
        torch.save({"epoch": 1, "arch": variant, "state_dict": state}, files["pth, state_dict"])
        for kind, path in files.items():
            trained = load_checkpoint(path)
            side = NATIVE_SIZES[variant]
            size = (side, side) if kind == "safetensors" else (97, 65)
            theirs, mine = logits(model, size), logits(trained.model, size)
            difference = float((theirs - mine).abs().max())
            answers.append(same_names and trained.variant == variant and difference <= TOLERANCE)
            print(
                f"{variant:9} {classes:7} {kind:16} {same_names!s:>10} {size[0]:4}x{size[1]:<4} "
                f"{float(theirs.abs().max()):9.3f} {difference:10.1e}"
            )
    return answers


def randomised(model: nn.Module) -> nn.Module:
    """The model with norms and biases that do something: a fresh SHViT is nearly the identity and proves nothing."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm):
                module.weight.copy_(0.3 + 0.6 * torch.rand(module.weight.shape, generator=generator))
                module.bias.copy_(0.2 * torch.randn(module.bias.shape, generator=generator))
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.copy_(0.2 * torch.randn(module.num_features, generator=generator))
                module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
            if isinstance(module, nn.Linear):
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * 0.05)
                module.bias.copy_(0.2 * torch.randn(module.bias.shape, generator=generator))
    return model.eval()


@torch.no_grad()
def logits(model: nn.Module, size: tuple[int, int]) -> Tensor:
    """The logits of two random images, the same for every model."""
    return model(torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1)))


if __name__ == "__main__":
    sys.exit(main())
