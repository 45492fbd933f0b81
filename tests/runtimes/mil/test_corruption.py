"""Two hundred random corruptions of an exported package: each is reported, whether or not it still runs.

The manifest beside it vouches for every byte of the package. Nothing vouches for the manifest: what is missing there or
cut is told, but another letter in a label is another label.
"""

from __future__ import annotations

import random as chance
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from shvit_mobile.contracts.artifact import Artifact, get_manifest_path
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.errors import BadArtifact, ShvitError
from shvit_mobile.pipeline.lower import lower
from shvit_mobile.runtimes.coreml import CoreMLRunner
from shvit_mobile.runtimes.mil.program import CoreMLProgram
from tests.builders import build_random_shvit, build_trained_model
from tests.programs import SMALL

SIZE = (33, 49)
CORRUPTIONS = 200
WEIGHTS, MODEL = "weight.bin", "model.mlmodel"


@dataclass(frozen=True)
class CorruptedPackage:
    """What was done to which file; the artifact is at `path`."""

    path: Path
    file: str
    how: str


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    deployed = to_deploy_form(build_trained_model(build_random_shvit(SMALL), size=SIZE))
    return lower(deployed, Recipe(precision="int8-weights"), "coreml", tmp_path_factory.mktemp("whole")).path


def corrupt_package(whole: Path, folder: Path, dice: chance.Random) -> CorruptedPackage:
    """A copy of a package with its manifest; one file of it is missing, cut short, or has some of its bits turned."""
    package = Path(shutil.copytree(whole, folder / whole.name))
    shutil.copy(get_manifest_path(whole), folder)
    files = sorted(path for path in package.rglob("*") if path.is_file())
    file = dice.choice(files)
    content = file.read_bytes()
    how = dice.choice(["missing", "cut", "one bit", "bits"])
    if how == "missing":
        file.unlink()
        return CorruptedPackage(package, file.name, how)
    if how == "cut":
        damaged = bytearray(content[: dice.randrange(len(content))])
    else:
        damaged = bytearray(content)
        for place in dice.sample(range(len(content)), 1 if how == "one bit" else dice.randrange(2, 9)):
            damaged[place] ^= 1 << dice.randrange(8)
    assert bytes(damaged) != content
    file.write_bytes(damaged)
    return CorruptedPackage(package, file.name, how)


def catch_error(found: CorruptedPackage) -> str:
    """The error that opening and running the artifact ends in; nothing but our own may come."""
    pixels = np.zeros((2, *SIZE, 3), np.uint8)
    with pytest.raises(ShvitError) as caught:
        CoreMLRunner(Artifact.open(found.path)).run(pixels)
    return str(caught.value)


def run_without_manifest(found: CorruptedPackage) -> str:
    """What the executor makes of the package where nobody looks at its SHA-256: "runs" or "refused"."""
    try:
        CoreMLProgram(found.path)(np.zeros((2, *SIZE, 3), np.uint8))
    except ShvitError:
        return "refused"
    return "runs"


def test_the_whole_package_runs(whole):
    logits = CoreMLRunner(Artifact.open(whole)).run(np.zeros((2, *SIZE, 3), np.uint8))
    assert np.isfinite(logits).all()


def test_no_corruption_passes_unseen_and_none_crashes(whole, tmp_path):
    dice = chance.Random(4)
    seen: Counter[tuple[str, str]] = Counter()
    for number in range(CORRUPTIONS):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = corrupt_package(whole, folder, dice)
        error = catch_error(found)
        assert found.path.name.removesuffix(".mlpackage") in error, f"{number}: {error}"
        assert "is not the file its manifest describes" in error
        seen[found.file, run_without_manifest(found)] += 1
        shutil.rmtree(folder)
    # Each happens often: only the SHA-256 tells of weights that still load, and no parser trips over what does not.
    assert seen[WEIGHTS, "runs"] > 10
    assert seen[WEIGHTS, "refused"] > 10
    assert seen[MODEL, "refused"] > 10


@pytest.mark.parametrize("left", [None, 0, 0.1, 0.5, 0.9, 0.999])
def test_a_missing_or_truncated_manifest_is_rejected(whole, tmp_path, left):
    package = Path(shutil.copytree(whole, tmp_path / whole.name))
    content = get_manifest_path(whole).read_bytes()
    if left is not None:
        get_manifest_path(package).write_bytes(content[: int(left * len(content))])
    with pytest.raises(BadArtifact, match=r"manifest.json (does not exist|is not a manifest)"):
        Artifact.open(package)
