"""A program for Core ML is one delegate with the package of the Core ML target, and gives the same bytes again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shvit_mobile.bench.contestant import create_subject
from shvit_mobile.contracts.artifact import Artifact, get_manifest_path
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.drift.layer_drift import compare_layers
from shvit_mobile.drift.value_ranges import measure_ranges
from shvit_mobile.errors import BadArtifact
from shvit_mobile.images.image_set import open_images
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.measure import runs_on_arm64
from shvit_mobile.runtimes import open_runner
from shvit_mobile.runtimes.arm64.runner import ARM64Runner
from shvit_mobile.runtimes.coreml import CoreMLRunner
from shvit_mobile.targets import coreml
from shvit_mobile.targets.coreml_payload import build_payload
from shvit_mobile.targets.executorch import ExecuTorchOptions, build
from shvit_mobile.targets.flat_archive import read_archive, write_archive
from shvit_mobile.targets.opened_package import OpenedPackage
from shvit_mobile.targets.pte import COREML_BACKEND, inspect_program, read_delegate_payload
from shvit_mobile.targets.stored_facts import open_artifact
from tests.builders import write_picture_folder
from tests.programs import SIZE, LoweredProgram, compute_float_logits, draw_pictures, lower_program

# The least SQNR of each on random weights, which is lower than on trained ones for everything but fp32 and fp16.
LEAST_DB: dict[Precision, float] = {"fp32": 100, "fp16": 50, "int8": 20, "int8-weights": 35, "palette-6": 15}


def lower_for_coreml(precision: Precision) -> LoweredProgram:
    return lower_program(precision, delegate="coreml")


@pytest.mark.parametrize("precision", LEAST_DB)
def test_one_delegate_computes_what_the_model_does(precision: Precision) -> None:
    lowered, pixels = lower_for_coreml(precision), draw_pictures(8)
    manifest = lowered.artifact.manifest
    assert manifest.delegation is not None
    assert (manifest.delegation.backend, manifest.delegation.delegates) == (COREML_BACKEND, 1)
    assert not manifest.delegation.left_operators
    runner = open_runner(lowered.artifact)
    assert isinstance(runner, CoreMLRunner)
    assert sqnr(compute_float_logits(lowered.deployed, pixels), runner.run(pixels)) > LEAST_DB[precision]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_package_is_that_of_the_core_ml_target(precision: Precision, tmp_path: Path) -> None:
    lowered = lower_for_coreml(precision)
    options = coreml.CoreMLOptions(input="tensor", classifier=False)
    built = coreml.build(lowered.deployed, lowered.recipe, tmp_path / "model.mlpackage", options)
    package = OpenedPackage(lowered.artifact.path)
    assert compute_sha256(package.path) == compute_sha256(tmp_path / "model.mlpackage")
    manifest = lowered.artifact.manifest
    assert (manifest.input, manifest.output) == (built.input, built.output)
    counted = dict(manifest.inventory.operators)
    assert counted.pop(COREML_BACKEND) == 1
    assert counted == built.inventory.operators
    assert (manifest.inventory.weight_bytes, manifest.inventory.quantized_layers) == (
        built.inventory.weight_bytes,
        built.inventory.quantized_layers,
    )


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    lowered = lower_for_coreml("fp16")
    build(lowered.deployed, lowered.recipe, tmp_path / "again.pte", ExecuTorchOptions(delegate="coreml"))
    assert compute_sha256(tmp_path / "again.pte") == lowered.artifact.manifest.artifact.sha256


def test_executorch_sees_one_image_and_its_logits() -> None:
    from executorch.runtime import Runtime

    artifact = lower_for_coreml("fp16").artifact
    metadata = Runtime.get().load_program(artifact.path).metadata("forward")
    assert (metadata.num_inputs(), metadata.num_outputs()) == (1, 1)
    assert tuple(metadata.input_tensor_meta(0).sizes()) == (1, 3, *SIZE)
    assert tuple(metadata.output_tensor_meta(0).sizes()) == (1, artifact.manifest.model.classes)


def test_the_delegate_names_its_arguments_and_its_package(tmp_path: Path) -> None:
    names = []
    for precision in ("fp16", "int8"):
        payload = read_delegate_payload(lower_for_coreml(precision).artifact.path, COREML_BACKEND)
        metadata = json.loads(read_archive(payload)["metadata.json"])
        assert (metadata["inputNames"], metadata["outputNames"]) == (["images"], ["logits"])
        names.append(metadata["identifier"])
    assert names[0] != names[1], "a phone would run the cached package of the other one"
    package = tmp_path / "a.mlpackage"
    package.mkdir()
    (package / "Manifest.json").write_text("{}", encoding="utf-8")
    assert build_payload(package, inputs="a", outputs="b") == build_payload(package, inputs="a", outputs="b")


def test_a_package_is_unpacked_as_long_as_it_is_open() -> None:
    opened = OpenedPackage(lower_for_coreml("fp16").artifact.path)
    path = opened.path
    assert (path / "Manifest.json").is_file()
    del opened
    assert not path.exists()
    assert not path.parent.parent.exists()


def test_layers_and_ranges_are_those_of_the_package(tmp_path: Path) -> None:
    lowered = lower_for_coreml("fp16")
    trained, images = lowered.deployed.trained, open_images(write_picture_folder(tmp_path, count=2, size=(80, 110)))
    layers = compare_layers(lowered.artifact, trained, images)
    assert [row.layer for row in layers.rows] == [call.name for call in lowered.deployed.wiring.calls]
    assert layers.first is None
    ranges = measure_ranges(lowered.artifact, trained, images)
    assert ranges.computes_in_half
    assert {"conv", "layer_norm"} <= {row.operator for row in ranges.values}, "values of the program itself"


def test_a_manifest_that_differs_from_the_package_is_refused(tmp_path: Path) -> None:
    artifact = lower_for_coreml("fp16").artifact
    copy = tmp_path / artifact.path.name
    copy.write_bytes(artifact.path.read_bytes())
    manifest = artifact.manifest.model_copy(update={"goldens": None})
    manifest.save(get_manifest_path(copy), overwrite=False)
    assert open_artifact(copy).manifest.is_coreml
    changed = manifest.input.model_copy(update={"name": "elsewhere"})
    manifest.model_copy(update={"input": changed}).save(get_manifest_path(copy), overwrite=True)
    with pytest.raises(BadArtifact, match="another input"):
        open_artifact(copy)


def test_manifests_know_their_delegate_also_by_its_earlier_name() -> None:
    manifest = lower_for_coreml("fp16").artifact.manifest
    assert (manifest.delegate, manifest.qualified_target) == ("coreml", "executorch-coreml")
    earlier = manifest.model_copy(update={"options": {"backend": "xnnpack"}})
    assert (earlier.delegate, earlier.qualified_target) == ("xnnpack", "executorch")
    fields = json.loads(manifest.to_json()) | {"options": {"delegate": "mps"}}
    del fields["content_sha256"]
    with pytest.raises(BadArtifact, match=r"options\.delegate: mps is no delegate"):
        Manifest.parse(json.dumps(fields), "a manifest")


def test_only_xnnpack_runs_on_emulated_arm64_and_only_core_ml_times_core_ml() -> None:
    artifact = lower_for_coreml("fp16").artifact
    assert not runs_on_arm64(artifact)
    assert runs_on_arm64(lower_program("fp32").artifact)
    with pytest.raises(BadArtifact, match="cannot run on the emulated ARM64 CPU"):
        ARM64Runner(artifact)
    assert create_subject(artifact).engine == "coreml"


def damage_payload(path: Path, payload: bytes) -> Artifact:
    """Write the fp16 program with another payload of the same length; the manifest is the old one."""
    artifact = lower_for_coreml("fp16").artifact
    before, data = read_delegate_payload(artifact.path, COREML_BACKEND), artifact.path.read_bytes()
    assert len(payload) == len(before)
    assert data.count(before) == 1
    path.write_bytes(data.replace(before, payload))
    return Artifact(path, artifact.manifest)


@pytest.mark.parametrize("part", ["directory", "manifest", "program", "weights", "names"])
def test_a_damaged_delegate_is_refused(part: str, tmp_path: Path) -> None:
    payload = read_delegate_payload(lower_for_coreml("fp16").artifact.path, COREML_BACKEND)
    files = read_archive(payload)
    model, weights = (
        f"model.mlpackage/Data/com.apple.CoreML/{name}" for name in ("model.mlmodel", "weights/weight.bin")
    )
    damaged = {
        "directory": payload[:-1] + b"\n",
        "manifest": payload.replace(b'"rootModelIdentifier"', b'"rootmodelIdentifier"'),
        "program": payload.replace(files[model], files[model][::-1]),
        "weights": payload.replace(files[weights][:128], bytes(128)),
        "names": payload.replace(b"egakcaplm.ledom", b"egakcaplm/ledom"),
    }[part]
    assert damaged != payload
    artifact = damage_payload(tmp_path / "damaged.pte", damaged)
    with pytest.raises(BadArtifact, match=r"damaged\.pte"):
        open_runner(artifact).run(draw_pictures(1))
    if part in ("directory", "manifest", "program", "names"):
        with pytest.raises(BadArtifact, match=r"damaged\.pte"):
            inspect_program(artifact.path)


def test_a_program_for_another_delegate_has_no_package(tmp_path: Path) -> None:
    with pytest.raises(BadArtifact, match=f"0 delegates of {COREML_BACKEND}"):
        OpenedPackage(lower_program("fp32").artifact.path)
    payload = read_delegate_payload(lower_for_coreml("fp16").artifact.path, COREML_BACKEND)
    other = write_archive("lowered_module", {"model.mlmodelc/model.mil": b""})
    artifact = damage_payload(tmp_path / "compiled.pte", bytes(len(payload) - len(other)) + other)
    with pytest.raises(BadArtifact, match=r"compiled\.pte contains no model\.mlpackage"):
        open_runner(artifact)


def test_the_logits_do_not_depend_on_how_many_images_run_at_once() -> None:
    runner, pixels = open_runner(lower_for_coreml("fp16").artifact), draw_pictures(3)
    alone = np.concatenate([runner.run(image[None]) for image in pixels])
    np.testing.assert_allclose(runner.run(pixels), alone, rtol=0.02, atol=0.02)
