"""Time detectors beside each other, for docs/guides/detection.md: the demo's, RetinaNet-S4 and MobileNetV3-SSDLite.

    python tools/benchmark_detectors.py --out runs/detectors

The first two are artifacts of this project. MobileNetV3-SSDLite is a stock export (`shvit_mobile/bench/stock.py`).
RetinaNet and SSDLite have random weights, which do not change latency. All have the demo's ten classes and run in turns
on one thread. Boxes are not decoded. Existing artifacts are kept.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from random_networks import fit_batchnorms, randomize_constants
from torch import Tensor, nn

from shvit_mobile.bench.contestant import BenchmarkSubject, create_subject
from shvit_mobile.bench.host import describe_host
from shvit_mobile.bench.interleave import run_interleaved
from shvit_mobile.bench.macs import count_macs
from shvit_mobile.bench.statistics import compute_speed_ratio, summarize_latency
from shvit_mobile.bench.stock import export_xnnpack
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.device_report import BenchmarkSettings
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.demo import CALIBRATION_SCENES, DETECTOR
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.families.detectors import load_detector
from shvit_mobile.families.loaded_detector import DETECTOR as DETECTOR_FAMILY
from shvit_mobile.families.retinanet import RetinaNet
from shvit_mobile.families.shvit import create_shvit
from shvit_mobile.families.timm_family import import_timm
from shvit_mobile.families.trained_model import TrainedModel, override_preprocessing
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import open_images
from shvit_mobile.pipeline.lower import lower, plan_artifact_path
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quiet import silence_libraries

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
CALIBRATION_COUNT = 8
# SSDLite's as in MobileNetV2 (Sandler et al., CVPR 2018): channels of the maps after the backbone's, and six anchors.
EXTRA_CHANNELS, ANCHORS = (512, 256, 256, 128), 6


class SSDLite(nn.Module):
    """MobileNetV3-Large with six maps, strides 16 to 512, and a depthwise head for each.

    Input: normalized float images, shape (batch, 3, height, width). Output: the logits, then the boxes of each map.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = import_timm("").create_model("mobilenetv3_large_100", features_only=True, out_indices=(3, 4))
        channels = self.backbone.feature_info.channels()
        self.extras = nn.ModuleList()
        for out in EXTRA_CHANNELS:
            middle = out // 2
            self.extras.append(
                nn.Sequential(
                    *build_block(channels[-1], middle, 1),
                    *build_block(middle, middle, 3, stride=2, groups=middle),
                    *build_block(middle, out, 1),
                )
            )
            channels.append(out)
        self.scores = nn.ModuleList(build_head(one, ANCHORS * (classes + 1)) for one in channels)
        self.boxes = nn.ModuleList(build_head(one, ANCHORS * 4) for one in channels)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = list(self.backbone(images))
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return tuple(head(one) for heads in (self.scores, self.boxes) for head, one in zip(heads, maps, strict=True))


def build_block(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Build a convolution with BatchNorm and ReLU6."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU6()]


def build_head(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*build_block(inputs, inputs, 3, groups=inputs), nn.Conv2d(inputs, outputs, 1))


def main(
    out: Annotated[Path, typer.Option(help="The folder for artifacts.")],
    detector: Annotated[Path, typer.Option(help="A light detector (default: the demo's).")] = DETECTOR,
    size: Annotated[int, typer.Option(help="The side of the input of all, in pixels.")] = 320,
    paper_size: Annotated[int, typer.Option(help="The side of RetinaNet's second input, the paper's.")] = 512,
    rounds: Annotated[int, typer.Option(help="The number of turns of each.")] = 21,
    cpus: Annotated[str, typer.Option(help="Processors to pin to, separated by commas (default: any).")] = "",
) -> None:
    light = override_preprocessing(load_detector(detector), {"size": (size, size)})
    subjects = export_detector("Light detector S1", light, out)
    for side in dict.fromkeys((size, paper_size)):
        subjects += export_detector("RetinaNet-S4", create_retinanet(light, side), out)
    subjects += export_ssdlite(light, out)
    settings = BenchmarkSettings(
        threads=1,
        batch=1,
        rounds=rounds,
        warm_up=1,
        iterations=3,
        cpus=tuple(int(cpu) for cpu in cpus.split(",") if cpu),
    )
    first, *others = run_interleaved(subjects, settings).runs
    print("| | ms | times as long as the light detector in fp32 | multiply-adds, G | MB on disk |")
    print("|---|---:|---:|---:|---:|")
    for run in (first, *others):
        ratio = compute_speed_ratio(run.round_medians, first.round_medians)
        interval = "1" if run is first else f"{ratio.value:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"
        cells = [f"{summarize_latency(run.samples).p50:.1f}", interval, f"{(run.subject.macs or 0) / 1e9:.2f}"]
        cells.append(f"{Path(run.subject.source).stat().st_size / 1e6:.1f}")
        print(f"| {run.subject.name} | {' | '.join(cells)} |")
    print(f"\n{describe_host().model}")


def export_detector(name: str, trained: TrainedModel, out: Path) -> list[BenchmarkSubject]:
    """Export a detector in each precision to ExecuTorch; keep existing artifacts."""
    height, width = trained.preprocessing.size
    deployed, subjects = to_deploy_form(trained), []
    for precision in PRECISIONS:
        path = plan_artifact_path(trained, precision, "executorch", out)
        if not path.exists():
            pictures = open_images(CALIBRATION_SCENES)
            recipe = calibrate_recipe(deployed, pictures, precision=precision, count=CALIBRATION_COUNT)[0]
            lower(deployed, recipe, "executorch", out, overwrite=True, has_gate=True)
        subjects.append(
            replace(
                create_subject(Artifact.open(path)),
                name=f"{name}, {height}x{width}, {precision}",
                macs=count_macs(trained.model, (1, 3, height, width)),
            )
        )
    return subjects


def create_retinanet(light: TrainedModel, side: int, backbone: str = "shvit_s4") -> TrainedModel:
    """Create a RetinaNet with random weights and the classes of another detector, for square inputs of this side."""
    torch.manual_seed(0)
    model, detection = RetinaNet(create_shvit(backbone), light.classes), RetinaNet.detection
    images = load_pictures(light)
    for module in (*model.neck.modules(), *model.bbox_head.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    randomize(model, torch.cat(images))
    spread_outputs(model, images[0])
    return TrainedModel(
        model=model,
        family=DETECTOR_FAMILY,
        variant=f"retinanet_{backbone}",
        dialect="module",
        labels=light.labels,
        preprocessing=Preprocessing((side, side), crop_ratio=1.0, resize_mode="squash"),
        source="random weights",
        sha256="0" * 64,
        task="detect",
        map_names=tuple(f"{kind}{stride}" for kind in ("scores", "boxes") for stride in detection.strides),
        detection=detection,
    )


def randomize(model: nn.Module, images: Tensor) -> nn.Module:
    """Draw what is constant in a fresh model, and take the statistics of its BatchNorms from pictures."""
    randomize_constants(model, torch.Generator().manual_seed(0))
    fit_batchnorms(model, images)
    return model.eval()


@torch.no_grad()
def spread_outputs(model: RetinaNet, image: Tensor) -> None:
    """Scale the last layers: scores are not all 0 or 1, and boxes, which are exponentials, are near their anchors."""
    outputs, head = model(image), model.bbox_head
    levels = len(outputs) // 2
    for layer, maps, spread in ((head.retina_cls, outputs[:levels], 1.0), (head.retina_reg, outputs[levels:], 0.1)):
        layer.weight *= spread / torch.cat([one.flatten() for one in maps]).std()


def load_pictures(trained: TrainedModel) -> list[Tensor]:
    """Return scenes of the demo, normalized for a model, shape (1, 3, height, width) each."""
    pictures = open_images(CALIBRATION_SCENES).sample(CALIBRATION_COUNT, 0)
    pixels = (one for batch in iterate_batches(pictures, trained.preprocessing) for one in batch.pixels)
    return [torch.from_numpy(trained.preprocessing.normalize(one[None])) for one in pixels]


def export_ssdlite(light: TrainedModel, out: Path) -> list[BenchmarkSubject]:
    """Export MobileNetV3-SSDLite with stock exporters and quantizers, for the input of another detector."""
    torch.manual_seed(0)
    images, shape = load_pictures(light), (1, 3, *light.preprocessing.size)
    model = randomize(SSDLite(light.classes), torch.cat(images))
    subjects = []
    for precision in PRECISIONS:
        path = out / f"ssdlite-{shape[2]}-{precision}.pte"
        if not path.exists():
            export_xnnpack(model, images, path, precision)
        name = f"MobileNetV3-SSDLite, {shape[2]}x{shape[3]}, stock {precision}"
        subjects.append(
            BenchmarkSubject(name, "executorch", precision, str(path), shape, macs=count_macs(model, shape))
        )
    return subjects


if __name__ == "__main__":
    with silence_libraries():
        typer.run(main)
