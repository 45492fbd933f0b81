"""Proves our SHViT and our reading of checkpoints against timm's own model and the authors', all four variants.

timm is no dependency of this project. It needs an environment of its own with torch and timm beside what loading a
checkpoint imports; torchvision's compiled operators are not needed, whatever wheel of it is at hand:

    python3 -m venv timm-env
    timm-env/bin/pip install torch==2.13.0 pillow pyyaml safetensors huggingface_hub pydantic numpy
    timm-env/bin/pip install --no-deps torchvision==0.28.0 timm
    PYTHONPATH=. timm-env/bin/python tools/check_against_timm.py

With `--authors FOLDER`, a clone of github.com/ysj9909/SHViT, the authors' models are checked too, distilled ones among
them; their code then runs on this machine. Exit status 0 where every name is ours and every logit within 1e-5, else 1.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.families.layouts import to_timm_key
from shvit_mobile.families.shvit import NATIVE_SIZES, VARIANTS, create_shvit

TOLERANCE = 1e-5


def main() -> int:
    """Prints one row for each model and file, and returns the exit status."""
    parser = argparse.ArgumentParser(description="Check SHViT against timm's and the authors' models.")
    parser.add_argument("--authors", type=Path, help="a clone of github.com/ysj9909/SHViT")
    folder = parser.parse_args().authors
    timm = import_timm()
    print(f"timm {timm.__version__}, torch {torch.__version__}")
    print(f"{'model':24} {'file':20} {'same names':>10} {'size':>9} {'|logits|':>9} {'difference':>10}")
    torch.manual_seed(0)
    good = [row for variant in VARIANTS for row in check_timm(timm, variant)]
    if folder:
        build = import_authors_build(folder)
        good += [row for variant in VARIANTS for row in check_authors(build, variant)]
    print("all equal" if all(good) else "NOT EQUAL")
    return 0 if all(good) else 1


def import_timm() -> ModuleType:
    """timm, after declaring two operators that torchvision registers fakes for and a wheel for another torch lacks."""
    if not hasattr(torch.ops.torchvision, "nms"):
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["library"] = library  # its definitions last as long as it does
    return importlib.import_module("timm")


def import_authors_build(folder: Path) -> ModuleType:
    """The authors' model/build.py, written for a timm of 2021; today's still has what it asks for, and warns of it."""
    sys.path.insert(0, str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("model.build")


def check_timm(timm: ModuleType, variant: str) -> Iterator[bool]:
    """Whether timm's model and ours, read from its state dict, are the same; one answer for each file written."""
    for classes in (1000, 37):
        model = randomize_norms(timm.create_model(variant, pretrained=False, num_classes=classes))
        state = model.state_dict()
        same = set(state) == set(create_shvit(variant, classes=classes).state_dict())
        files: dict[str, Callable[[Path], Any]] = {
            "safetensors": lambda path, state=state: safetensors.torch.save_file(state, path),
            "pth": lambda path, state=state: torch.save(state, path),
            "pth, state_dict": lambda path, state=state: torch.save({"epoch": 1, "state_dict": state}, path),
        }
        for kind, write in files.items():
            yield compare_checkpoint(f"timm {variant} {classes}", kind, same, model, variant, write)


def check_authors(build: ModuleType, variant: str) -> Iterator[bool]:
    """Whether the authors' model and ours, read from what their trainer writes, are the same."""
    for distilled in (False, True):
        model = randomize_norms(getattr(build, variant)(distillation=distilled))
        state = model.state_dict()
        same = {to_timm_key(name) for name in state} == set(create_shvit(variant, distilled=distilled).state_dict())
        saved = {"model": state, "epoch": 299, "args": argparse.Namespace(model=variant, lr=1e-3)}
        flat = {name: value[:, :, 0, 0] if value.shape[2:] == (1, 1) else value for name, value in state.items()}
        files: dict[str, Callable[[Path], Any]] = {
            "pth, model and args": lambda path, saved=saved: torch.save(saved, path),
            "pth, 2-D weights": lambda path, flat=flat: torch.save({"state_dict": flat}, path),
        }
        for kind, write in files.items():
            yield compare_checkpoint(f"authors {variant}{' dist.' * distilled}", kind, same, model, variant, write)


def compare_checkpoint(
    model_name: str, kind: str, same_names: bool, model: nn.Module, variant: str, write: Callable[[Path], Any]
) -> bool:
    """Writes a file, reads it, compares the logits, and prints it all."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint")
        write(path)
        trained = load_checkpoint(path)
    side = NATIVE_SIZES[variant]
    size = (97, 65) if kind == "pth" else (side, side)
    theirs, mine = compute_logits(model, size), compute_logits(trained.model, size)
    difference = float((theirs - mine).abs().max())
    print(
        f"{model_name:24} {kind:20} {same_names!s:>10} {size[0]:4}x{size[1]:<4} "
        f"{float(theirs.abs().max()):9.3f} {difference:10.1e}"
    )
    return same_names and trained.variant == variant and difference <= TOLERANCE


def randomize_norms(model: nn.Module) -> nn.Module:
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
def compute_logits(model: nn.Module, size: tuple[int, int]) -> Tensor:
    """The logits of two random images, the same for every model."""
    return model(torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1)))


if __name__ == "__main__":
    sys.exit(main())
