"""A tiny checkpoint, pictures, and what one export makes of them; made once for all tests of the command line."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shvit_mobile.cli.main import app
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES
from shvit_mobile.families.checkpoints import save_checkpoint
from shvit_mobile.families.shvit import SHViTConfig
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder

LABELS = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")
SPECIES = tuple(f"species {number:02}" for number in range(37))
SMALL = SHViTConfig(dims=(16, 24), partial_dims=(8, 9), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"))
Call = Callable[..., Result]


@dataclass(frozen=True)
class ExportedFiles:
    """What the program wrote into `folder` and printed; `stderr` begins with its exit status."""

    folder: Path
    stdout: Path
    stderr: Path

    def artifact(self, target: str) -> Path:
        return next(path for path in self.folder.glob(f"*-{target}-*") if path.suffix in TARGET_SUFFIXES.values())


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all the processes that run these tests: what is slow to make is made once."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "cli"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """While open, no other process is inside."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class SharedFiles:
    """Checkpoints and pictures.

    Attributes:
        root: the folder of it all.
        checkpoint: of seven classes, at 64x48.
        pictures: in folders of some of the seven classes.
        unlabelled: pictures without labels.
        species: a checkpoint of 37 classes, at 192x160.
        specimens: in folders of some of the 37 classes.
    """

    root: Path
    checkpoint: Path
    pictures: Path
    unlabelled: Path
    species: Path
    specimens: Path


@pytest.fixture(scope="session")
def world(shared: Path) -> SharedFiles:
    names = ("tiny.safetensors", "pictures", "unlabelled", "species.safetensors", "specimens")
    made = SharedFiles(shared, *(shared / name for name in names))
    with lock_folder(shared):
        if not made.specimens.exists():
            save_checkpoint(
                replace(build_trained_model(build_random_shvit(), size=(64, 48)), labels=LABELS), made.checkpoint
            )
            write_picture_folder(made.pictures, count=14, classes=LABELS)
            write_picture_folder(made.unlabelled, count=3)
            model = build_random_shvit(SMALL, classes=len(SPECIES))
            save_checkpoint(replace(build_trained_model(model, size=(192, 160)), labels=SPECIES), made.species)
            write_picture_folder(made.specimens, count=12, classes=SPECIES[::6], size=(200, 180))
    return made


@pytest.fixture(scope="session")
def call() -> Call:
    """Runs `shvit-mobile` with some arguments, in this process."""
    return lambda *args: CliRunner().invoke(app, [str(arg) for arg in args])


def run_executable(*args: object) -> subprocess.CompletedProcess[str]:
    """Runs the installed `shvit-mobile` as a person does."""
    program = Path(sys.executable).with_name("shvit-mobile")
    return subprocess.run([program, *map(str, args)], capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="session")
def exported(world: SharedFiles) -> ExportedFiles:
    """37 classes at 192x160 to every target in int8, validated."""
    made = ExportedFiles(world.root / "exported", world.root / "stdout.json", world.root / "stderr.txt")
    with lock_folder(world.root):
        if not made.stderr.exists():
            images = ("--calibration", world.specimens, "--calibration-count", 7, "--validate", world.specimens)
            args = ("export", "--checkpoint", world.species, "--target", "all", "--quantize", "int8", *images)
            ended = run_executable(*args, "--max-drop", 100, "--out", made.folder, "--json")
            made.stdout.write_text(ended.stdout)
            made.stderr.write_text(f"{ended.returncode}\n{ended.stderr}")
    return made
