"""A tiny checkpoint, pictures, and one export of them, shared by all tests of the command line."""

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
from tests.builders import build_random_shvit, build_trained_model, fit_head, write_picture_folder

LABELS = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")
SPECIES = tuple(f"species {number:02}" for number in range(37))
SMALL = SHViTConfig(dims=(16, 24), partial_dims=(8, 9), qk_dims=(8, 8), depths=(1, 1), block_types=("i", "s"))
Call = Callable[..., Result]


@dataclass(frozen=True)
class ExportedFiles:
    """The output of an export: its folder, and its streams in files; `stderr` begins with the exit status."""

    folder: Path
    stdout: Path
    stderr: Path

    def artifact(self, target: str) -> Path:
        return next(path for path in self.folder.glob(f"*-{target}-*") if path.suffix in TARGET_SUFFIXES.values())


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test processes share, so that slow fixtures are built once."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "cli"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder."""
    with (folder / "lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class SharedFiles:
    """Checkpoints and pictures.

    Attributes:
        root: The folder of all files.
        checkpoint: A checkpoint of 7 classes at 64x48.
        pictures: Pictures in a folder for each of the 7 classes.
        unlabelled: Pictures without labels.
        species: A checkpoint of 37 classes at 192x160.
        specimens: Pictures in folders for some of the 37 classes.
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
        if not made.species.exists():
            write_picture_folder(made.pictures, count=14, classes=LABELS)
            tiny = replace(build_trained_model(build_random_shvit(), size=(64, 48)), labels=LABELS)
            save_checkpoint(fit_head(tiny, made.pictures), made.checkpoint)
            write_picture_folder(made.unlabelled, count=3)
            write_picture_folder(made.specimens, count=12, classes=SPECIES[::6], size=(200, 180))
            # Of these weights int8 leaves 12 dB; of most, so little that only a gate could judge it.
            model = build_random_shvit(SMALL, classes=len(SPECIES), seed=17)
            species = replace(build_trained_model(model, size=(192, 160)), labels=SPECIES)
            save_checkpoint(fit_head(species, made.specimens), made.species)
    return made


@pytest.fixture(scope="session")
def call() -> Call:
    """Return a function that runs `shvit-mobile` with arguments, in this process."""
    return lambda *args: CliRunner().invoke(app, [str(arg) for arg in args])


def run_executable(*args: object) -> subprocess.CompletedProcess[str]:
    """Run the installed `shvit-mobile` in a process of its own."""
    program = Path(sys.executable).with_name("shvit-mobile")
    return subprocess.run(
        [program, *map(str, args)], capture_output=True, text=True, check=False, timeout=600, encoding="utf-8"
    )


@pytest.fixture(scope="session")
def exported(world: SharedFiles) -> ExportedFiles:
    """Export 37 classes at 192x160 to every target in int8, and validate."""
    made = ExportedFiles(world.root / "exported", world.root / "stdout.json", world.root / "stderr.txt")
    with lock_folder(world.root):
        if not made.stderr.exists():
            images = ("--calibration", world.specimens, "--calibration-count", 7, "--validate", world.specimens)
            args = ("export", "--checkpoint", world.species, "--target", "all", "--quantize", "int8", *images)
            ended = run_executable(*args, "--max-drop", 100, "--out", made.folder, "--json")
            made.stdout.write_text(ended.stdout, encoding="utf-8")
            made.stderr.write_text(f"{ended.returncode}\n{ended.stderr}", encoding="utf-8")
    return made
