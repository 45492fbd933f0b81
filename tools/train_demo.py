"""Train the demo model: nn.Module-S1 on the training images of CIFAR-10, first at small sizes, finally at 224x224.

Another `--variant`, with `--phases` that end at a small size, gives models for experiments with quantization. It may be
any model of timm: `timm:mobilevitv2_050`.

    torchrun --nproc-per-node 2 tools/train_demo.py --data cifar10-train.tar.gz --out runs/demo

One process per core is faster than one process with all cores; on a GPU, run `python tools/train_demo.py` alone. To
resume, run the same command again. Training is seeded, and uses mixed precision on a GPU or, with `--bfloat16`, on a
CPU that multiplies bfloat16. The test images are never read here; `shvit-mobile validate` measures the result.
"""

from __future__ import annotations

import io
import json
import math
import os
import tarfile
import time
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
import typer
from PIL import Image
from torch import Tensor, nn

from shvit_mobile.contracts.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from shvit_mobile.families.shvit import VARIANTS, create_shvit
from shvit_mobile.families.shvit_family import SHVIT
from shvit_mobile.families.timm_family import TIMM, TIMM_PREFIX, create_timm_model
from shvit_mobile.families.trained_model import TrainedModel

RESULT = "{variant}-cifar10.safetensors"
# Decay of the moving average per step. The last phase is short and at another size, so it forgets faster.
DECAY, LAST_DECAY = 0.996, 0.98
# The rank of this process and the number of processes, from `torchrun`.
RANK, RANKS = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
# The learning rate of Muon, as a multiple of AdamW's.
MUON_RATE_FACTOR = 40.0


@dataclass(frozen=True)
class TrainingPhase:
    """Some epochs at one image size, with a learning rate that follows a cosine between two values."""

    size: int
    epochs: int
    start_rate: float
    end_rate: float

    @classmethod
    def parse(cls, text: str) -> TrainingPhase:
        """Parse a phase: `96x20:1e-3..2e-4` is 20 epochs at 96x96, from 1e-3 down to 2e-4."""
        shape, _, rates = text.partition(":")
        size, _, epochs = shape.partition("x")
        start, _, end = rates.partition("..")
        return cls(int(size), int(epochs), float(start), float(end))

    def rate(self, done: float) -> float:
        """Return the learning rate after the share `done` of the phase."""
        return self.end_rate + (self.start_rate - self.end_rate) * (1 + math.cos(math.pi * done)) / 2


class PointwiseAsMatmul(nn.Conv2d):
    """A 1x1 convolution as one matrix product: twice as fast as oneDNN's backward pass on few positions."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], self.bias).permute(0, 3, 1, 2)


class Float32Conv2d(nn.Conv2d):
    """A convolution that stays in float32: oneDNN's backward pass of a strided depthwise one in bfloat16 takes 100x."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float()).to(x.dtype)


def main(
    data: Annotated[Path, typer.Option(help="cifar10-train.tar.gz: JPEGs in class folders.")],
    out: Annotated[Path, typer.Option(help="The folder for the state and the result.")],
    phases: Annotated[str, typer.Option(help="SIZExEPOCHS:START..END, separated by commas.")] = (
        "64x6:1.5e-3..1.2e-3,96x8:1.2e-3..6e-4,128x16:6e-4..2.5e-4,224x4:3.5e-4..1e-6"
    ),
    variant: Annotated[str, typer.Option(help="shvit_s1 to shvit_s4, or timm:NAME.")] = "shvit_s1",
    batch: Annotated[int, typer.Option(help="Images per step.")] = 256,
    seed: Annotated[int, typer.Option(help="The seed of weights, order and augmentation.")] = 0,
    start_from: Annotated[Path | None, typer.Option(help="The checkpoint to start from.")] = None,
    mixup: Annotated[float, typer.Option(help="The share of batches to mix (CutMix).")] = 0.0,
    held_out: Annotated[int, typer.Option(help="Training images held out to watch progress.")] = 1000,
    limit: Annotated[int, typer.Option(help="The number of training images to use (0: all).")] = 0,
    bfloat16: Annotated[bool, typer.Option(help="Use bfloat16 on a CPU too (on a GPU: always).")] = False,
    compile: Annotated[bool, typer.Option(help="Use torch.compile; needs a C++ compiler.")] = False,
) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if RANKS > 1:
        dist.init_process_group("gloo")
    plan = [TrainingPhase.parse(text) for text in phases.split(",")]
    images, labels, classes = load_training_images(data, out)
    order = np.random.default_rng(seed).permutation(len(images))
    if limit:
        order = order[:limit]
    watch, train = order[:held_out], order[held_out:]

    torch.manual_seed(seed)
    model = create_model(variant, len(classes)).to(device).to(memory_format=torch.channels_last)
    mixed_precision = bfloat16 or device.type == "cuda"
    if device.type == "cpu":
        optimize_for_cpu(model, mixed_precision)
    set_relus_in_place(model)
    forward = torch.compile(model, dynamic=False) if compile else model
    average = MovingAverage(model)
    kernels, others = collect_dense_kernels(model), collect_other_parameters(model)
    muon = Muon(kernels, torch.bfloat16 if mixed_precision else torch.float32)
    adamw = torch.optim.AdamW(group_by_decay(others, decay=0.05), lr=1e-3, fused=True)
    optimizers = [muon, adamw]
    start = resume_state(out, model, average, optimizers)
    if not start and start_from is not None:
        load_initial_weights(start_from, variant, model, average)

    epochs = [(phase, index) for phase in plan for index in range(phase.epochs)]
    for epoch, (phase, index) in enumerate(epochs):
        if epoch < start:
            continue
        began = time.monotonic()
        rng = np.random.default_rng((seed, epoch))
        generator = torch.Generator().manual_seed((seed * 1000 + epoch) * 64 + RANK)
        model.train()
        steps, total = len(train) // batch, 0.0
        shuffled = rng.permutation(train)[: steps * batch].reshape(steps, batch)
        for step, whole_batch in enumerate(shuffled):
            chosen = whole_batch[RANK::RANKS]
            rate = phase.rate((index + step / steps) / phase.epochs)
            warm = min(1.0, (epoch * steps + step + 1) / 100)
            for group in adamw.param_groups:
                group["lr"] = rate * warm
            for group in muon.param_groups:
                group["lr"] = MUON_RATE_FACTOR * rate * warm
            # The last phase uses whole images, as the model does when it is used.
            gentle = phase is plan[-1]
            average.decay = LAST_DECAY if gentle else DECAY
            inputs = augment(images[chosen], phase.size, generator, gentle).to(device)
            inputs, target = apply_cutmix(
                inputs, F.one_hot(labels[chosen], len(classes)).float().to(device), generator, 0.0 if gentle else mixup
            )
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed_precision):
                logits = forward(inputs)
            loss = F.cross_entropy(logits.float(), target, label_smoothing=0.05)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            sum_across_ranks([p.grad for p in model.parameters()], scale=1 / RANKS)
            nn.utils.clip_grad_norm_(others, 5.0)
            for optimizer in optimizers:
                optimizer.step()
            total += loss.item()
            if RANK:
                continue
            average.update(model)
            if step % 50 == 0:
                print(
                    f"  step {step}/{steps} loss {total / (step + 1):.3f} {time.monotonic() - began:.0f} s", flush=True
                )
        if RANK == 0:
            line = {
                "epoch": epoch + 1,
                "of": len(epochs),
                **asdict(phase),
                "loss": round(total / max(steps, 1), 4),
                "held_out": compute_accuracy(model, images[watch], labels[watch], phase.size, device),
                "held_out_average": compute_accuracy(average.model, images[watch], labels[watch], phase.size, device),
                "seconds": round(time.monotonic() - began),
            }
            print(json.dumps(line), flush=True)
            with (out / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            save_state(out, model, average, optimizers, epoch + 1)
            trained = to_trained_model(average.model, variant, classes, plan[-1].size)
            save_checkpoint(trained, out / trained.source, dtype=torch.float16, overwrite=True)
        if RANKS > 1:
            dist.barrier()
    if RANKS > 1:
        dist.destroy_process_group()


def sum_across_ranks(tensors: list[Tensor], scale: float = 1.0) -> None:
    """Replace each tensor by its sum over all processes, times `scale`."""
    if RANKS == 1:
        return
    flat = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    for tensor, summed in zip(tensors, flat.mul_(scale).split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(summed.view(tensor.shape))


def create_model(variant: str, classes: int) -> nn.Module:
    """Create a SHViT or a model of timm with random weights, and a head that has no opinion yet."""
    if variant in VARIANTS:
        return create_shvit(variant, classes=classes)
    model: Any = create_timm_model(variant.removeprefix(TIMM_PREFIX), classes)
    nn.init.normal_(model.get_classifier().weight, std=0.01)
    return model


def to_trained_model(model: nn.Module, variant: str, classes: list[str], size: int) -> TrainedModel:
    """Return the averaged model with its metadata: used at the size of the last phase, on whole images."""
    name = variant.removeprefix(TIMM_PREFIX)
    return TrainedModel(
        model=model,
        family=SHVIT if variant in VARIANTS else TIMM,
        variant=name,
        dialect="shvit-mobile",
        labels=tuple(classes),
        preprocessing=Preprocessing(size=(size, size), crop_ratio=1.0),
        source=RESULT.format(variant=name),
        sha256="",
    )


def load_training_images(data: Path, out: Path) -> tuple[Tensor, Tensor, list[str]]:
    """Return images (n, 32, 32, 3) in uint8, labels (n,) and class names; decode once and cache beside the state."""
    out.mkdir(parents=True, exist_ok=True)
    cache = out / "images.npz"
    if not cache.exists():
        with tarfile.open(data) as tar:
            files = sorted((m for m in tar if m.name.endswith(".jpg")), key=lambda m: m.name)
            names = sorted({Path(m.name).parent.name for m in files})
            pixels = np.stack(
                [np.asarray(Image.open(io.BytesIO(tar.extractfile(m).read())).convert("RGB")) for m in files]
            )
        indices = np.array([names.index(Path(m.name).parent.name) for m in files])
        np.savez(cache, pixels=pixels, labels=indices, names=np.array(names))
    held = np.load(cache)
    return torch.from_numpy(held["pixels"]), torch.from_numpy(held["labels"]), [str(n) for n in held["names"]]


def augment(pixels: Tensor, size: int, generator: torch.Generator, gentle: bool) -> Tensor:
    """Crop, flip and resize each image at random, and unless `gentle`, change its contrast and brightness.

    Args:
        pixels: uint8, shape (n, h, w, 3).

    Returns:
        Normalized float32, shape (n, 3, size, size), channels last.
    """
    n, side = pixels.shape[0], pixels.shape[1]
    x = pixels.permute(0, 3, 1, 2).float() / 255

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    area = uniform(0.85, 1.0) if gentle else uniform(0.45, 1.0)
    stretch = torch.exp(uniform(-0.05, 0.05) if gentle else uniform(-0.15, 0.15))
    height, width = ((area * f).sqrt().clamp(max=1.0) * side for f in (1 / stretch, stretch))
    top, left = ((side - extent) * torch.rand(n, generator=generator) for extent in (height, width))
    flip = torch.rand(n, generator=generator) < 0.5
    rows, columns = (
        build_resampling_matrices(top, height, side, size),
        build_resampling_matrices(left, width, side, size),
    )
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    if not gentle:
        contrast, light = (values[:, None, None, None] for values in (uniform(0.7, 1.3), uniform(-0.1, 0.1)))
        x = x.mean((1, 2, 3), keepdim=True).lerp(x, contrast) + light
    x = rows[:, None] @ x @ columns[:, None].transpose(2, 3)
    return normalize(x.clamp(0, 1))


def normalize(x: Tensor) -> Tensor:
    x = (x - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]
    return x.contiguous(memory_format=torch.channels_last)


def build_resampling_matrices(start: Tensor, extent: Tensor, side: int, size: int) -> Tensor:
    """Return matrices that resample `extent` pixels from `start` on to `size`, bicubic, one per image: (n, size, side).

    The kernel is Pillow's (a = -0.5). It is never widened, because all images grow.
    """
    centre = start[:, None] + (torch.arange(size) + 0.5) * extent[:, None] / size - 0.5
    distance = (centre[:, :, None] - torch.arange(side)).abs()
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
    return weights / weights.sum(2, keepdim=True)


def apply_cutmix(x: Tensor, target: Tensor, generator: torch.Generator, share: float) -> tuple[Tensor, Tensor]:
    """Mix a share of batches: paste a box of another image into each image, and mix the targets alike."""
    if torch.rand((), generator=generator) >= share:
        return x, target
    size, other = x.shape[-1], torch.randperm(len(x), generator=generator)
    cut = int(size * torch.rand((), generator=generator).sqrt() * 0.7)
    top, left = (int(torch.randint(0, size - cut + 1, (), generator=generator)) for _ in range(2))
    box = (..., slice(top, top + cut), slice(left, left + cut))
    mixed, taken = x.clone(memory_format=torch.channels_last), cut**2 / size**2
    mixed[box] = x[other][box]
    return mixed, target * (1 - taken) + target[other] * taken


class MovingAverage:
    """The exponential moving average of a model's weights and statistics, a model itself."""

    def __init__(self, model: nn.Module) -> None:
        self.decay, self.updates = DECAY, 0
        self.model = deepcopy(model).eval()

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for kept, now in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(now, 1 - decay)
            else:
                kept.copy_(now)


def optimize_for_cpu(model: nn.Module, bfloat16: bool) -> None:
    """Replace the convolutions that are slow in oneDNN."""
    for module in model.modules():
        if type(module) is nn.Conv2d and module.kernel_size == (1, 1):
            module.__class__ = PointwiseAsMatmul
        elif type(module) is nn.Conv2d and bfloat16 and module.groups > 1 and module.stride != (1, 1):
            module.__class__ = Float32Conv2d


def set_relus_in_place(model: nn.Module) -> None:
    """Let ReLUs overwrite their input, to save memory traffic."""
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True


class Muon(torch.optim.Optimizer):
    """An optimizer that moves each kernel along its orthogonalized momentum (Jordan et al., 2024, "Muon").

    Meant for kernels with a BatchNorm behind them, whose length does not matter: the step is `lr` times a kernel's
    length, and the length is kept.

    Args:
        kernels: what it trains.
        dtype: of the products that orthogonalise; bfloat16 does.
        momentum: the share of a gradient's average that stays from step to step.
    """

    def __init__(self, kernels: list[Tensor], dtype: torch.dtype, momentum: float = 0.9) -> None:
        super().__init__(kernels, {"lr": 0.0})
        self.dtype, self.momentum = dtype, momentum

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            turns = [self.turn(kernel, mine=i % RANKS == RANK) for i, kernel in enumerate(group["params"])]
            sum_across_ranks(turns)
            for kernel, turn in zip(group["params"], turns, strict=True):
                length = self.state[kernel]["length"]
                kernel.sub_(turn * (group["lr"] * length / (turn.norm() + 1e-7)))
                kernel.mul_(length / kernel.norm())

    def turn(self, kernel: Tensor, mine: bool) -> Tensor:
        """Return the direction of the update; zero where another process computes it."""
        state = self.state[kernel]
        if not state:
            state["momentum"], state["length"] = torch.zeros_like(kernel), kernel.norm()
        state["momentum"].lerp_(kernel.grad, 1 - self.momentum)
        if not mine:
            return torch.zeros_like(kernel)
        ahead = kernel.grad.lerp(state["momentum"], self.momentum)
        return orthogonalize(ahead.flatten(1), self.dtype).view_as(kernel)


def orthogonalize(matrix: Tensor, dtype: torch.dtype, steps: int = 3) -> Tensor:
    """Return `matrix` with singular values near one, in `dtype`: Newton-Schulz iteration, Jordan's coefficients."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = (wide / (wide.norm() + 1e-7)).to(dtype)
    for _ in range(steps):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x if wide is matrix else x.T


def collect_dense_kernels(model: nn.Module) -> list[Tensor]:
    """Collect the kernels of all convolutions with a BatchNorm, except the depthwise ones."""
    pairs = pairwise(model.modules())
    return [
        layer.weight
        for layer, norm in pairs
        if isinstance(layer, nn.Conv2d) and layer.groups == 1 and isinstance(norm, nn.BatchNorm2d)
    ]


def collect_other_parameters(model: nn.Module) -> list[Tensor]:
    kernels = {id(kernel) for kernel in collect_dense_kernels(model)}
    return [p for p in model.parameters() if id(p) not in kernels]


def group_by_decay(parameters: list[Tensor], decay: float) -> list[dict[str, object]]:
    """Group parameters: matrices and kernels decay, norms and biases do not."""
    matrices = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


@torch.no_grad()
def compute_accuracy(model: nn.Module, pixels: Tensor, labels: Tensor, size: int, device: torch.device) -> float:
    """Return top-1 in percent on whole images, resized like `shvit_mobile.images` but not rounded to bytes."""
    model.eval()
    right = 0
    for some, truth in zip(pixels.split(200), labels.split(200), strict=True):
        x = some.permute(0, 3, 1, 2).float() / 255
        x = F.interpolate(x, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
        right += int((model(normalize(x).to(device)).argmax(1).cpu() == truth).sum())
    return round(100 * right / len(labels), 2)


def load_initial_weights(checkpoint: Path, variant: str, model: nn.Module, average: MovingAverage) -> None:
    weights = load_checkpoint(checkpoint, variant=variant).model.state_dict()
    model.load_state_dict(weights)
    average.model.load_state_dict(weights)


def save_state(
    out: Path, model: nn.Module, average: MovingAverage, optimizers: list[torch.optim.Optimizer], epochs: int
) -> None:
    state = {
        "model": model.state_dict(),
        "average": average.model.state_dict(),
        "updates": average.updates,
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "epochs": epochs,
    }
    torch.save(state, out / "state.pth.part")
    (out / "state.pth.part").replace(out / "state.pth")


def resume_state(out: Path, model: nn.Module, average: MovingAverage, optimizers: list[torch.optim.Optimizer]) -> int:
    """Load the saved state, if there is one, and return the number of epochs it has completed."""
    path = out / "state.pth"
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True, map_location="cpu")
    model.load_state_dict(state["model"])
    average.model.load_state_dict(state["average"])
    average.updates = state["updates"]
    for optimizer, held in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(held)
    return int(state["epochs"])


if __name__ == "__main__":
    typer.run(main)
