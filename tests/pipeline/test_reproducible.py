"""The number of threads changes no byte of a recipe, an artifact, its goldens or its manifest."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shvit_mobile import CalibrateConfig, ExportConfig, calibrate, export
from shvit_mobile.contracts.artifact import list_artifact_files
from shvit_mobile.families.checkpoints import save_checkpoint
from shvit_mobile.families.shvit import SHViTConfig
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder

LABELS = ("ant", "bee", "cat")
# Wide enough for PyTorch to choose other kernels with more threads.
WIDE = SHViTConfig(
    dims=(64, 96), partial_dims=(24, 32), qk_dims=(16, 16), depths=(1, 1), block_types=("s", "s"), classes=len(LABELS)
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint, and a folder of labelled pictures."""
    folder = tmp_path_factory.mktemp("files")
    trained = build_trained_model(build_random_shvit(WIDE, seed=3), size=(64, 56))
    save_checkpoint(replace(trained, labels=LABELS), folder / "model.safetensors")
    write_picture_folder(folder / "pictures", count=8, classes=LABELS, size=(120, 100))
    return folder / "model.safetensors", folder / "pictures"


def read_folder(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_the_number_of_threads_changes_no_byte_of_an_export(files: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, pictures = files
    found = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        result = export(
            ExportConfig(
                checkpoint=checkpoint,
                targets=["onnx"],
                precisions=["int8", "fp32"],
                calibration=pictures,
                validation=pictures,
                accept_baseline=True,
                out=tmp_path / str(threads),
            )
        )
        assert torch.get_num_threads() == threads
        assert all(file.exists() for artifact in result.artifacts for file in list_artifact_files(artifact.path))
        found[threads] = read_folder(tmp_path / str(threads))
    assert found[1] == found[2]


def test_the_number_of_threads_changes_no_byte_of_a_calibration(files: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, pictures = files
    found = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        folder = tmp_path / str(threads)
        calibrate(
            CalibrateConfig(checkpoint=checkpoint, calibration=pictures, out=folder / "out", cache=folder / "cache")
        )
        found[threads] = read_folder(folder / "out")
    assert "recipe.json" in found[1]
    assert found[1] == found[2]
