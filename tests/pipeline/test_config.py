"""The options that workflows share: labels from files, and notes about images that were not used."""

import json
from pathlib import Path
from typing import Any

import pytest

from shvit_mobile.contracts.image_use import ImageUse, SkippedImages
from shvit_mobile.contracts.recipe import CalibrationImages, Recipe
from shvit_mobile.errors import BadImages, InvalidValue
from shvit_mobile.pipeline.config import CalibrationOptions, GateOptions, ModelOptions
from shvit_mobile.pipeline.defaults import CALIBRATION_COUNT

SKIPPED = (SkippedImages(reason="it is empty", count=3, first="a.png"),)
ANIMALS = ["otter", "beaver", "mole", "shrew", "vole", "stoat", "marten", "lynx", "boar", "elk"]


def build_recipe(used: int, requested: int | None, skipped: tuple[SkippedImages, ...] = ()) -> Recipe:
    use = ImageUse(requested=requested, found=used + 3 * len(skipped), used=used, skipped=skipped)
    images = CalibrationImages(source="photos", count=used, sha256="0" * 64, seed=0, use=use)
    return Recipe(precision="int8", calibration=images)


@pytest.mark.parametrize(
    ("used", "requested", "skipped", "told"),
    [
        (200, CALIBRATION_COUNT, (), False),  # all there are, and enough
        (CALIBRATION_COUNT, CALIBRATION_COUNT, (), False),
        (20, 20, (), False),
        (200, 500, (), True),
        (50, CALIBRATION_COUNT, (), True),
        (CALIBRATION_COUNT, CALIBRATION_COUNT, SKIPPED, True),
        (20, 20, SKIPPED, True),
    ],
)
def test_a_note_tells_of_fewer_images_than_requested_and_of_skipped_ones(used, requested, skipped, told) -> None:
    options = CalibrationOptions(calibration_count=requested)
    notes = options.list_calibration_notes(build_recipe(used, requested, skipped))
    assert len(notes) == told
    assert all(f"Used {used} of" in note for note in notes)


def test_a_recipe_without_an_account_has_no_note() -> None:
    assert CalibrationOptions().list_calibration_notes(Recipe(precision="int8")) == ()


def test_labels_may_be_a_file_whose_order_is_told(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(
        json.dumps({name: index for index, name in reversed(list(enumerate(ANIMALS)))}), encoding="utf-8"
    )
    for source in (tmp_path / "labels.json", str(tmp_path / "labels.json")):
        trained = ModelOptions(labels=source).load_model()
        assert list(trained.labels) == ANIMALS
        assert any("labels.json" in note for note in trained.notes)
    assert list(ModelOptions(labels=ANIMALS).load_model().labels) == ANIMALS


@pytest.mark.parametrize("labels", [["same"] * 10, [], ANIMALS[:9]])
def test_labels_that_cannot_be_the_models_are_refused(labels: list[str]) -> None:
    with pytest.raises(InvalidValue) as caught:
        ModelOptions(labels=labels).load_model()
    assert caught.value.parameter == "labels"


def test_errors_about_folders_name_the_option_that_gave_them(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split / "cat").mkdir(parents=True)
        (tmp_path / split / "cat" / "a.png").touch()
    with pytest.raises(BadImages) as caught:
        CalibrationOptions(calibration=tmp_path).open_calibration_images(demo=False)
    assert (caught.value.parameter, f"{tmp_path / 'train'}" in caught.value.hint) == ("calibration", True)
    with pytest.raises(BadImages) as caught:
        GateOptions().open_validation_images(tmp_path, ["cat", "dog"])
    assert (caught.value.parameter, f"{tmp_path / 'val'}" in caught.value.hint) == ("validation", True)


def test_a_letterbox_crops_nothing_and_another_mode_has_no_padding() -> None:
    letterbox = ModelOptions(resize_mode="letterbox", padding="end", padding_value=(124, 116, 104)).load_model()
    expected = {"crop_ratio": 1.0, "padding": "end", "padding_value": (124, 116, 104), "resize_mode": "letterbox"}
    assert {name: getattr(letterbox.preprocessing, name) for name in expected} == expected
    squashed = ModelOptions(checkpoint=letterbox, resize_mode="squash").load_model().preprocessing
    assert (squashed.resize_mode, squashed.padding, squashed.padding_value) == ("squash", None, None)
    centered = ModelOptions(checkpoint=letterbox, padding="center").load_model().preprocessing
    assert (centered.padding, centered.padding_value) == ("center", (124, 116, 104))


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"resize_mode": "letterbox"}, "padding"),
        ({"resize_mode": "letterbox", "padding": "end"}, "padding_value"),
        ({"resize_mode": "cover", "padding": "end"}, "padding"),
        ({"padding": "end"}, "padding"),
        ({"resize_mode": "letterbox", "padding": "end", "padding_value": (0, 0, 0), "crop": 0.9}, "crop_ratio"),
    ],
)
def test_a_letterbox_needs_its_padding_and_no_other_mode_takes_it(options: dict[str, Any], parameter: str) -> None:
    with pytest.raises(InvalidValue) as error:
        ModelOptions(**options).load_model()
    assert error.value.parameter == parameter
