"""Artifacts are validated at the size that is asked for, and an export says which sizes it did not compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from shvit_mobile.contracts.manifest import Target
from shvit_mobile.errors import ConflictingParameters, InvalidValue
from shvit_mobile.pipeline.export import ExportConfig, export
from shvit_mobile.pipeline.validate import ValidateConfig, validate
from shvit_mobile.targets.coreml import CoreMLOptions
from shvit_mobile.targets.executorch import ExecuTorchOptions
from shvit_mobile.targets.target_options import TargetOptions
from tests.builders import build_random_shvit, build_trained_model, write_picture_folder
from tests.programs import SMALL


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("executorch", ExecuTorchOptions(more_sizes=((96, 80),))),
        ("coreml", CoreMLOptions(more_sizes=((96, 80),))),
    ],
)
def test_a_program_for_several_sizes_is_compared_at_each(
    target: Target, options: TargetOptions, tmp_path: Path
) -> None:
    trained = build_trained_model(build_random_shvit(SMALL), size=(64, 64))
    pictures = write_picture_folder(tmp_path / "pictures", count=4, size=(110, 130))
    exported = export(
        ExportConfig(
            checkpoint=trained,
            targets=[target],
            precisions=["fp32"],
            options={target: options},
            validation=pictures,
            out=tmp_path,
        )
    )
    (artifact,), (own,) = exported.artifacts, exported.rows
    assert f"{artifact.path.name} was compared at 64 only. For its other sizes: shvit-mobile validate --size." in (
        exported.notes
    )
    assert any("needs iOS 18" in note for note in exported.notes) == (target == "coreml")
    before = artifact.manifest

    def compare_at(size: tuple[int, int], *, write: bool = False) -> float:
        config = ValidateConfig(
            artifacts=[artifact.path], checkpoint=trained, validation=pictures, size=size, write=write, overwrite=True
        )
        (row,) = validate(config).report.rows
        assert row.images == 4
        return row.sqnr_db

    assert compare_at((64, 64)) == own.sqnr_db
    assert 80 < compare_at((96, 80)) != own.sqnr_db
    with pytest.raises(InvalidValue, match="takes no images of 80x96"):
        compare_at((80, 96))
    with pytest.raises(ConflictingParameters, match="`size` and `write` exclude each other"):
        compare_at((96, 80), write=True)
    assert type(before).load(artifact.path.with_suffix(".manifest.json")) == before
