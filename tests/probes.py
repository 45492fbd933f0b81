"""Artifacts with a planted fault, written by a target's builder without the verification that would reject them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch
from torch import nn

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.families.shvit import SHViT, SHViTConfig
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.pipeline.lower import TARGET_MODULES, build_manifest, plan_artifact_path
from tests.builders import build_random_shvit, build_trained_model

# One stage of convolutions and two of attention; stage 1 has an attention block between two others.
CONFIG = SHViTConfig(dims=(16, 24, 32), partial_dims=(8, 9, 12), qk_dims=(8, 8, 8), depths=(1, 3, 1), classes=7)
SIZE = (80, 112)


def build_model(plant: Callable[[SHViT], None] | None = None, *, config: SHViTConfig = CONFIG) -> TrainedModel:
    """Build a trained model with an odd number of positions; `plant` changes its weights."""
    network = build_random_shvit(config, seed=3)
    if plant:
        with torch.no_grad():
            plant(network)
    return build_trained_model(network, size=SIZE)


def write_unverified_artifact(
    model: TrainedModel | DeployForm, target: Target, recipe: Recipe, folder: Path
) -> Artifact:
    """Write an artifact like `lower`, without verification."""
    deployed = model if isinstance(model, DeployForm) else to_deploy_form(model)
    module = import_module(TARGET_MODULES[target][0])
    folder.mkdir(parents=True, exist_ok=True)
    path = plan_artifact_path(deployed.trained, recipe.precision, target, folder)
    built = module.build(deployed, recipe, path, getattr(module, TARGET_MODULES[target][1])())
    return Artifact(path, build_manifest(deployed, recipe, target, path, built))


def plant_fault(model: TrainedModel, layer: str, factor: float) -> DeployForm:
    """Multiply the weights of one layer of the deploy form by `factor`."""
    deployed = to_deploy_form(model)
    module = deepcopy(deployed.module)
    faulty = module.get_submodule(layer)
    assert isinstance(faulty, nn.Conv2d | nn.Linear)
    with torch.no_grad():
        faulty.weight.mul_(factor)
    return replace(deployed, module=module)
