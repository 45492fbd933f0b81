"""Measures how far Core AI packages of random networks are from their checkpoints: SHViT's variants, and timm's models.

    python tools/coreai_accuracy.py shvit_s1 shvit_s4 --precision fp32 --precision fp16
    python tools/coreai_accuracy.py timm:mobilenetv3_large_100 --precision fp32

A line for each package: the SQNR of its logits, its size, and the operators that its converter lacks.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import torch
import typer
from random_networks import create_random_network
from safetensors.torch import save_file

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.fingerprints import compute_size_bytes
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.demo import TEST_IMAGES
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.verification import copy_to_float64
from shvit_mobile.errors import NotSupported
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.families.timm_family import TIMM_PREFIX, import_timm
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import open_images
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.lower import build_manifest
from shvit_mobile.runtimes.coreai import CoreAIRunner
from shvit_mobile.targets.coreai import CoreAIOptions, build

# Pictures for the statistics of BatchNorms.
FITTED = 4


def main(
    models: Annotated[list[str], typer.Argument(help="Variants of SHViT, or timm: and the name of a model.")],
    precision: Annotated[list[str], typer.Option(help="fp32 or fp16; repeatable.")],
    count: Annotated[int, typer.Option(help="Number of pictures.")] = 2,
) -> None:
    for name in models:
        trained, pixels = create_model(name, count)
        deployed = to_deploy_form(trained)
        with torch.no_grad():
            expected = copy_to_float64(deployed.module)(deployed.prepare(pixels).double()).numpy()
        for one in precision:
            with TemporaryDirectory() as folder:
                path, recipe = Path(folder, "model.aimodel"), Recipe(precision=one)  # type: ignore[arg-type]
                try:
                    built = build(deployed, recipe, path, CoreAIOptions())
                except NotSupported as reason:
                    print(f"{name} {one}: {reason.what}", flush=True)
                    continue
                artifact = Artifact(path, build_manifest(deployed, recipe, "coreai", path, built))
                decibels = sqnr(expected, CoreAIRunner(artifact).run(pixels))
                megabytes = compute_size_bytes(path) / 1e6
                print(f"{name} {one}: {decibels:.1f} dB, {megabytes:.2f} MB", flush=True)


def create_model(name: str, count: int) -> tuple[TrainedModel, np.ndarray]:
    """Return a random network whose statistics fit pictures, and `count` other pictures of its size."""
    timm_name = name.removeprefix(TIMM_PREFIX)
    size = tuple(import_timm("").get_pretrained_cfg(timm_name).input_size[1:])
    images = open_images(TEST_IMAGES).sample(count + FITTED, 0)
    preprocessing = Preprocessing(size=size)
    pixels = np.concatenate([batch.pixels for batch in iterate_batches(images, preprocessing)])
    network = create_random_network(timm_name, torch.from_numpy(preprocessing.normalize(pixels[count:])))
    with TemporaryDirectory() as folder:
        file = Path(folder, "model.safetensors")
        save_file({key: value.contiguous().clone() for key, value in network.state_dict().items()}, file)
        variant = name if name.startswith(TIMM_PREFIX) else None
        trained = load_checkpoint(file, variant=variant)
    return replace(trained, preprocessing=preprocessing), pixels[:count]


if __name__ == "__main__":
    typer.run(main)
