"""A program for Vulkan is one delegate that nothing here runs, and everything that reads it says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shvit_mobile.apps.embed import plan_embeds
from shvit_mobile.apps.projects import open_app
from shvit_mobile.bench.contestant import create_subject
from shvit_mobile.cli.tables import build_artifact_table
from shvit_mobile.contracts.artifact import Artifact, read_goldens
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.errors import BadArtifact, ConflictingParameters, MissingParameter, NotSupported
from shvit_mobile.pipeline.export import ExportConfig, ExportJob, plan_export
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.pipeline.validate import ValidateConfig, validate
from shvit_mobile.quantize.layers import find_dense_layers
from shvit_mobile.report.model_card import render_model_card
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.executorch import ExecuTorchOptions, build
from shvit_mobile.targets.pte import inspect_program
from shvit_mobile.targets.tolerances import compute_simulation_bound
from tests.apps.builders import android_app
from tests.programs import FLOAT_LAYER, LoweredProgram, lower_program

VULKAN = ExecuTorchOptions(delegate="vulkan")


def lower_for_vulkan(precision: Precision) -> LoweredProgram:
    return lower_program(precision, delegate="vulkan")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_one_delegate_takes_the_whole_program(precision: Precision, tmp_path: Path) -> None:
    lowered = lower_for_vulkan(precision)
    manifest = lowered.artifact.manifest
    assert manifest.delegation is not None
    assert (manifest.delegation.backend, manifest.delegation.delegates) == ("VulkanBackend", 1)
    assert not manifest.delegation.left_operators
    build(lowered.deployed, lowered.recipe, tmp_path / "again.pte", VULKAN)
    assert compute_sha256(tmp_path / "again.pte") == manifest.artifact.sha256


def test_int8_layers_are_those_of_the_recipe() -> None:
    lowered = lower_for_vulkan("int8")
    layers = {name: layer for name, layer in find_dense_layers(lowered.deployed.module) if name != FLOAT_LAYER}
    inventory = lowered.artifact.manifest.inventory
    assert inventory.quantized_layers == len(layers)
    assert inventory.weight_bytes["int8"] >= sum(layer.weight.numel() for layer in layers.values())
    floats = lower_for_vulkan("fp16").artifact.manifest.inventory
    assert floats.quantized_layers == 0
    assert set(floats.weight_bytes) == {"float16"}
    assert (
        sum(floats.operators.values()) == 1 + lower_for_vulkan("fp16").artifact.manifest.delegation.delegated_operators
    )


def test_a_damaged_graph_is_refused(tmp_path: Path) -> None:
    data = lower_for_vulkan("fp16").artifact.path.read_bytes()
    (tmp_path / "m.pte").write_bytes(data.replace(b"VH00", b"XH00"))
    with pytest.raises(BadArtifact, match="is damaged"):
        inspect_program(tmp_path / "m.pte")


def test_smaller_precisions_give_smaller_files() -> None:
    sizes = [lower_for_vulkan(precision).artifact.manifest.artifact.bytes for precision in ("int8", "fp16", "fp32")]
    assert sizes == sorted(sizes)
    assert sizes[1] < 0.6 * sizes[2]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_its_goldens_are_what_it_should_compute(precision: Precision) -> None:
    artifact = lower_for_vulkan(precision).artifact
    goldens, manifest = read_goldens(artifact), artifact.manifest
    assert (goldens.how, goldens.engine) == ("simulated", "PyTorch")
    assert manifest.golden is not None
    assert manifest.golden.how == "simulated"
    logits, floats = (
        np.array([getattr(image, name) for image in goldens.images]) for name in ("logits", "float_logits")
    )
    if precision == "fp16":
        np.testing.assert_array_equal(logits, floats)
    else:
        error, signal = np.sqrt(np.mean((logits - floats) ** 2)), np.sqrt(np.mean(floats**2))
        assert 0 < error < signal, "the recipe's int8, not the float model's logits"
        assert compute_simulation_bound("int8", error, signal) < 3 * signal


def test_it_is_exported_only_when_that_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(MissingParameter, match="allow_unproven=True"):
        lower(lower_for_vulkan("fp16").deployed, Recipe(precision="fp16"), "executorch", tmp_path, options=VULKAN)
    config = ExportConfig(targets=["executorch"], delegates=["vulkan"], out=tmp_path)
    with pytest.raises(MissingParameter, match="allow_unproven=True"):
        plan_export(config)
    allowed = replace(config, allow_unproven=True)
    assert plan_export(allowed).jobs == (ExportJob("executorch", "fp16", VULKAN),)
    with pytest.raises(ConflictingParameters, match="cannot be compared"):
        plan_export(replace(allowed, max_drop=1))
    assert not any(tmp_path.iterdir())


def test_everything_that_would_run_it_refuses(tmp_path: Path) -> None:
    artifact = lower_for_vulkan("fp16").artifact
    for run in (open_runner, create_subject):
        with pytest.raises(NotSupported, match="runs on phones only"):
            run(artifact)
    with pytest.raises(NotSupported, match="runs on phones only"):
        validate(ValidateConfig(artifacts=[artifact.path]))
    with pytest.raises(BadArtifact, match="executorch-vulkan artifacts do not run there"):
        plan_embeds([artifact], open_app(android_app(tmp_path / "app")))


def test_everything_that_shows_it_says_unproven() -> None:
    artifact = lower_for_vulkan("int8").artifact
    assert artifact.manifest.options["unproven"] is True
    (note,) = Artifact.open(artifact.path).notes
    assert "is unproven" in note
    assert "is unproven" in " ".join(artifact.notes)
    assert "unproven" in str(next(iter(build_artifact_table([artifact], "out").columns[1].cells)))
    card = render_model_card([artifact.manifest], license="mit", images="images")
    assert "Unproven: ExecuTorch with Vulkan" in card
    assert "but the unproven ones" in card
    assert not lower_program("fp32").artifact.manifest.is_unproven
