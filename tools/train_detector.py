"""Train a light detector on synthetic scenes: pictures of known classes on photos, on the CPU.

    python tools/train_detector.py --pictures cifar10/train --backgrounds photos/train --out runs/detector
        --start-from shvit_mobile/demo/shvit_s1-cifar10.safetensors

Training is seeded and saves its state every 50 steps; to resume, run the same command again. The result is
`OUT/detector.safetensors`, the moving average of the weights. `tools/measure_detector.py` measures it on others.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from detection_scenes import Scene, load_scenes
from torch import Tensor, nn
from train_demo import MovingAverage, group_by_decay, optimize_for_cpu, set_relus_in_place

from shvit_mobile.contracts.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.families.light_detector import STRIDES, LightDetector, create_light_detector, save_light_detector

RESULT = "detector.safetensors"
# The sides (the root of the area) of the objects that a map answers for, in strides; maps share some sizes.
SIDES_OF_STRIDES = ((0.0, 4.5), (1.5, 4.5), (1.5, math.inf))
# A position answers for an object if it lies in its box, and this many strides from its center at most.
CENTER_RADIUS = 1.5
# Smaller than the rest of the rate, because the backbone is trained already.
BACKBONE_RATE_FACTOR = 0.6
# Of the cross-entropy, beside the loss of the scores.
CLASS_WEIGHT = 1.0
WARM_UP_STEPS, SAVE_STEPS, PRINT_STEPS = 30, 50, 10


def main(
    pictures: Annotated[Path, typer.Option(help="The folder of pictures in class folders.")],
    backgrounds: Annotated[Path, typer.Option(help="The folder of photos without these classes.")],
    out: Annotated[Path, typer.Option(help="The folder for the state and the result.")],
    start_from: Annotated[Path | None, typer.Option(help="The classifier whose backbone to start from.")] = None,
    variant: Annotated[str, typer.Option(help="shvit_s1 to shvit_s4.")] = "shvit_s1",
    size: Annotated[int, typer.Option(help="The side of a scene in pixels.")] = 256,
    steps: Annotated[int, typer.Option(help="Steps in all.")] = 1000,
    batch: Annotated[int, typer.Option(help="Scenes per step.")] = 16,
    rate: Annotated[float, typer.Option(help="The learning rate of neck and heads, which falls to 0.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="The seed of weights and scenes.")] = 0,
    bfloat16: Annotated[bool, typer.Option(help="Multiply in bfloat16, on a CPU that can.")] = False,
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    source = load_scenes(pictures, backgrounds, size, seed)
    torch.manual_seed(seed)
    model = create_light_detector(variant, len(source.names))
    if start_from is not None:
        trained = load_checkpoint(start_from, variant=variant).model.state_dict()
        kept = {name: trained[name] for name in model.backbone.state_dict()}
        model.backbone.load_state_dict(kept)
    model = model.to(memory_format=torch.channels_last)
    optimize_for_cpu(model, bfloat16)
    set_relus_in_place(model)
    average = MovingAverage(model)
    groups = [
        {**group, "lr": 0.0, "factor": factor}
        for parameters, factor in split_parameters(model)
        for group in group_by_decay(parameters, decay=0.05)
    ]
    optimizer = torch.optim.AdamW(groups, fused=True)
    start = resume_state(out, model, average, optimizer)
    average.decay = 0.99
    began, losses = time.monotonic(), [0.0, 0.0]
    model.train()
    for step in range(start, steps):
        for group in optimizer.param_groups:
            warm = min(1.0, (step + 1) / WARM_UP_STEPS)
            group["lr"] = rate * group["factor"] * warm * (1 + math.cos(math.pi * step / steps)) / 2
        scenes = [source.draw(step * batch + index) for index in range(batch)]
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            maps = model(prepare(scenes))
        score_loss, box_loss = compute_losses([one.float() for one in maps], scenes, len(source.names))
        optimizer.zero_grad()
        (score_loss + 2 * box_loss).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        average.update(model)
        losses = [a + float(b.detach()) for a, b in zip(losses, (score_loss, box_loss), strict=True)]
        if (step + 1) % PRINT_STEPS == 0:
            line = {
                "step": step + 1,
                "scores": round(losses[0] / PRINT_STEPS, 4),
                "boxes": round(losses[1] / PRINT_STEPS, 4),
                "seconds": round(time.monotonic() - began),
                "cpu_seconds": round(time.process_time()),
            }
            print(json.dumps(line), flush=True)
            losses = [0.0, 0.0]
        if (step + 1) % SAVE_STEPS == 0 or step + 1 == steps:
            save_state(out, model, average, optimizer, step + 1)
            save_result(average.model, source.names, size, out)
    save_result(average.model, source.names, size, out)


def split_parameters(model: LightDetector) -> list[tuple[list[Tensor], float]]:
    """Return the parameters of the backbone and the others, each with the factor of their learning rate."""
    backbone = {id(one) for one in model.backbone.parameters()}
    others = [one for one in model.parameters() if id(one) not in backbone]
    return [(list(model.backbone.parameters()), BACKBONE_RATE_FACTOR), (others, 1.0)]


def prepare(scenes: list[Scene]) -> Tensor:
    """Return normalized float32 images, shape (scenes, 3, size, size), channels last."""
    pixels = torch.from_numpy(np.stack([scene.pixels for scene in scenes])).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def compute_losses(maps: list[Tensor], scenes: list[Scene], classes: int) -> tuple[Tensor, Tensor]:
    """Compute the loss of the scores and of the boxes, each per position with an object.

    The score that is learned is the IoU of the box (quality focal loss, Li et al., NeurIPS 2020). It says little about
    classes at first, so the cross-entropy of the class of each object is added. The boxes' loss is 1 - GIoU
    (Rezatofighi et al., CVPR 2019).
    """
    levels = len(STRIDES)
    scores = torch.cat([one.flatten(2) for one in maps[:levels]], 2).transpose(1, 2)
    raw_boxes = torch.cat([one.flatten(2) for one in maps[levels:]], 2).transpose(1, 2)
    points, strides, low, high = list_points([(one.shape[2], one.shape[3]) for one in maps[:levels]])
    distances = raw_boxes.clamp(max=6).exp() * strides[:, None]
    boxes = torch.cat([points - distances[..., :2], points + distances[..., 2:]], 2)
    target = torch.zeros_like(scores)
    gious, class_losses = [], []
    for index, scene in enumerate(scenes):
        if not len(scene.boxes):
            continue
        truth = torch.from_numpy(scene.boxes)
        chosen = assign(points, strides, low, high, truth)
        positive = chosen >= 0
        iou, giou = compute_ious(boxes[index, positive], truth[chosen[positive]])
        labels = torch.from_numpy(scene.classes)[chosen[positive]]
        target[index, positive.nonzero()[:, 0], labels] = iou.detach().clamp(min=0)
        gious.append(giou)
        class_losses.append(F.cross_entropy(scores[index, positive], labels, reduction="none"))
    found = torch.cat(gious) if gious else torch.zeros(0)
    count = max(len(found), 1)
    focal = (scores.sigmoid() - target).abs() ** 2
    score_loss = (focal * F.binary_cross_entropy_with_logits(scores, target, reduction="none")).sum()
    class_loss = torch.cat(class_losses).sum() if class_losses else torch.zeros(())
    return (score_loss + CLASS_WEIGHT * class_loss) / count, (1 - found).sum() / count


def list_points(shapes: list[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return all points (n, 2), x and y, their strides (n,), and the least and largest side they answer for (n,)."""
    points, rest = [], []
    for (height, width), stride, (low, high) in zip(shapes, STRIDES, SIDES_OF_STRIDES, strict=True):
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        points.append(torch.stack([x, y], -1).reshape(-1, 2) * stride)
        rest.append(torch.tensor([[stride, low * stride, high * stride]]).expand(height * width, 3))
    return torch.cat(points), *torch.cat(rest).float().unbind(1)


def assign(points: Tensor, strides: Tensor, low: Tensor, high: Tensor, boxes: Tensor) -> Tensor:
    """Return the object for which each point answers, or -1; of several, the smallest."""
    center, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    offset = (points[:, None] - center).abs()
    area = extent.prod(1)
    side = area.sqrt()
    near = (offset < torch.minimum(CENTER_RADIUS * strides[:, None, None], extent / 2)).all(2)
    fits = (side >= low[:, None]) & (side < high[:, None])
    cost = torch.where(near & fits, area, math.inf)
    least, chosen = cost.min(1)
    return torch.where(least.isfinite(), chosen, -1)


def compute_ious(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Compute IoU and GIoU of boxes with boxes, shape (n,) each."""

    def area(box: Tensor) -> Tensor:
        return (box[:, 2:] - box[:, :2]).clamp(min=0).prod(1)

    corners = torch.cat([torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])], 1)
    around = torch.cat([torch.minimum(one[:, :2], other[:, :2]), torch.maximum(one[:, 2:], other[:, 2:])], 1)
    shared = area(corners)
    union = area(one) + area(other) - shared
    iou = shared / union.clamp(min=1e-6)
    return iou, iou - 1 + union / area(around).clamp(min=1e-6)


def save_result(model: nn.Module, names: tuple[str, ...], size: int, out: Path) -> None:
    preprocessing = Preprocessing((size, size), crop_ratio=1.0, interpolation="bilinear", resize_mode="squash")
    save_light_detector(model, names, preprocessing, out / RESULT, overwrite=True)


def save_state(
    out: Path, model: nn.Module, average: MovingAverage, optimizer: torch.optim.Optimizer, step: int
) -> None:
    state = {
        "model": model.state_dict(),
        "average": average.model.state_dict(),
        "updates": average.updates,
        "optimizer": optimizer.state_dict(),
        "step": step,
    }
    torch.save(state, out / "state.pth.part")
    (out / "state.pth.part").replace(out / "state.pth")


def resume_state(out: Path, model: nn.Module, average: MovingAverage, optimizer: torch.optim.Optimizer) -> int:
    """Load the saved state, if there is one, and return the number of steps it has completed."""
    path = out / "state.pth"
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True, map_location="cpu")
    model.load_state_dict(state["model"])
    average.model.load_state_dict(state["average"])
    average.updates = state["updates"]
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


if __name__ == "__main__":
    typer.run(main)
