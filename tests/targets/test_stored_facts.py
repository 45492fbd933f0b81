"""A manifest that says something else than its artifact's own file is refused, though its hashes are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shvit_mobile.contracts.artifact import Artifact, get_manifest_path
from shvit_mobile.contracts.document import CHECKSUM_FIELD
from shvit_mobile.contracts.manifest import Target
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.errors import BadArtifact
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.targets.stored_facts import open_artifact
from tests.builders import build_random_shvit, build_trained_model

TARGETS: tuple[Target, ...] = ("onnx", "coreml")
LIES: dict[str, dict[str, Any]] = {
    "checkpoint": {"model": {"checkpoint_sha256": "1" * 64}},
    "mean": {"preprocessing": {"mean": [0.5, 0.5, 0.5]}},
    "crop": {"preprocessing": {"crop_ratio": 0.5}},
    "filter": {"preprocessing": {"interpolation": "nearest"}},
    "channels": {"preprocessing": {"channel_order": "bgr"}},
    "values": {"input": {"values": "normalised"}},
    "input": {"input": {"name": "elsewhere"}},
    "output": {"output": {"logits": "elsewhere"}},
}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[Target, Artifact]:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(), size=(64, 64)))
    folder = tmp_path_factory.mktemp("artifacts")
    return {target: lower(deployed, Recipe(precision="fp32"), target, folder) for target in TARGETS}


def lie(artifact: Artifact, changes: dict[str, Any]) -> None:
    """Change a manifest as an earlier version would have written it, without goldens, which would contradict it too."""
    path = get_manifest_path(artifact.path)
    fields = json.loads(artifact.manifest.to_json()) | {"goldens": None}
    del fields[CHECKSUM_FIELD]
    for name, change in changes.items():
        fields[name] = fields[name] | change if isinstance(change, dict) else change
    path.write_text(json.dumps(fields), encoding="utf-8")


@pytest.mark.parametrize("what", LIES)
@pytest.mark.parametrize("target", TARGETS)
def test_a_manifest_that_differs_from_its_file_is_refused(
    target: Target, what: str, artifacts: dict[Target, Artifact]
) -> None:
    artifact = artifacts[target]
    lie(artifact, {})
    (note,) = open_artifact(artifact.path).notes
    assert "checksum" in note
    lie(artifact, LIES[what])
    Artifact.open(artifact.path)
    with pytest.raises(BadArtifact, match="than the file itself"):
        open_artifact(artifact.path)


def test_labels_in_another_order_are_refused(artifacts: dict[Target, Artifact]) -> None:
    artifact = artifacts["onnx"]
    lie(artifact, {"labels": list(reversed(artifact.manifest.labels))})
    with pytest.raises(BadArtifact, match="labels"):
        open_artifact(artifact.path)


def test_a_file_that_is_not_changed_is_opened_without_notes(tmp_path: Path) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(), size=(64, 64)))
    artifact = lower(deployed, Recipe(precision="fp32"), "onnx", tmp_path)
    assert open_artifact(artifact.path) == artifact
