"""Documents and their schemas: what is written is valid, what is newer is refused or kept, what is wrong is named."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from shvit_mobile.contracts.document import (
    CHECKSUM_FIELD,
    SCHEMA_VERSION,
    Document,
    compute_content_sha256,
    has_checksum,
)
from shvit_mobile.contracts.recipe import CalibrationImages, Recipe
from shvit_mobile.contracts.schemas import DOCUMENT_TYPES, build_json_schema
from shvit_mobile.errors import BadRecipe

SCHEMAS = Path(__file__).parents[2] / "schemas"
RECIPE = Recipe(
    precision="int8",
    observer="min-max",
    ranges={"head": {"input": (-1.0, 2.0), "output": (0.0, 3.5)}},
    calibration=CalibrationImages(source="photos", count=3, sha256="0" * 64, seed=1),
)


def written(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "recipe.json"
    value = json.loads(RECIPE.to_json()) | changes
    checksum = compute_content_sha256({name: field for name, field in value.items() if name != CHECKSUM_FIELD})
    path.write_text(json.dumps(value | {CHECKSUM_FIELD: checksum}), encoding="utf-8")
    return path


@pytest.mark.parametrize("document", DOCUMENT_TYPES, ids=lambda document: document.NAME)
def test_the_schemas_are_those_of_the_documents(document: type[Document]) -> None:
    stored = json.loads((SCHEMAS / f"{document.NAME}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(stored)
    assert stored == json.loads(json.dumps(build_json_schema(document))), "run: .venv/bin/python tools/write_schemas.py"


@pytest.mark.parametrize("document", DOCUMENT_TYPES, ids=lambda document: document.NAME)
def test_a_schema_insists_on_version_and_kind(document: type[Document]) -> None:
    assert {"schema_version", "kind"} <= set(build_json_schema(document)["required"])


def test_a_newer_major_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r"recipe\.json is a recipe of version 2\.3\."):
        Recipe.load(written(tmp_path, schema_version="2.3", precision={"of": "another shape"}))


def test_a_version_of_thousands_of_digits_is_a_newer_one(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r"of version 999999999\.0\."):
        Recipe.load(written(tmp_path, schema_version=f"{'9' * 5000}.0"))


def test_unknown_fields_of_a_newer_minor_version_are_kept(tmp_path: Path) -> None:
    ranges = {"head": {"input": [-1.0, 2.0], "output": [0.0, 3.5], "clipped": 0.01}}
    recipe = Recipe.load(written(tmp_path, schema_version="1.7", bias_correction=True, ranges=ranges))
    again = json.loads(recipe.to_json())
    assert (again["schema_version"], again["bias_correction"]) == ("1.7", True)
    assert again["ranges"] == ranges


def test_an_unknown_field_of_this_version_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r"float_layer: Extra inputs are not permitted"):
        Recipe.load(written(tmp_path, float_layer=["head"]))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"calibration": {"source": "x", "count": "3", "sha256": "0" * 64, "seed": 1}}, "calibration.count"),
        ({"schema_version": 1.0}, "schema_version"),
        ({"schema_version": "one"}, "schema_version"),
        ({"schema_version": "0.9"}, "schema_version"),
        ({"schema_version": "01.0"}, "schema_version"),
        ({"schema_version": "1.00"}, "schema_version"),
        ({"kind": "manifest"}, "kind"),
        ({"ranges": {"head": {"input": [0, 1, 2], "output": [0, 1]}}}, "ranges.head.input"),
    ],
)
def test_what_is_not_of_the_schema_is_named(tmp_path: Path, change: dict[str, object], place: str) -> None:
    with pytest.raises(BadRecipe, match=place.replace(".", r"\.")):
        Recipe.load(written(tmp_path, **change))


def test_a_document_that_its_own_schema_refuses_is_not_written() -> None:
    with pytest.raises(ValueError, match=r"calibration\.sha256"):
        RECIPE.model_copy(update={"calibration": RECIPE.calibration.model_copy(update={"sha256": "short"})}).to_json()


def test_a_version_is_major_and_minor() -> None:
    assert all(part.isdecimal() for part in SCHEMA_VERSION.split("."))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", '"Infinity"'])
def test_a_number_of_a_recipe_is_finite(number: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(RECIPE.to_json().replace("-1.0", number), encoding="utf-8")
    with pytest.raises(BadRecipe, match=r"ranges\.head\.input\.0"):
        Recipe.load(tmp_path / "recipe.json")


def test_half_a_character_and_deep_nesting_are_mistakes(tmp_path: Path) -> None:
    for text in (RECIPE.to_json().replace('"photos"', r'"\ud800"'), "[" * 100_000):
        (tmp_path / "recipe.json").write_text(text, encoding="utf-8")
        with pytest.raises(BadRecipe):
            Recipe.load(tmp_path / "recipe.json")


def test_a_file_name_that_is_not_utf_8_is_written_with_its_bytes_escaped(tmp_path: Path) -> None:
    images = RECIPE.calibration.model_copy(update={"source": os.fsdecode(b"caf\xe9")})
    RECIPE.model_copy(update={"calibration": images}).save(tmp_path / "recipe.json")
    assert Recipe.load(tmp_path / "recipe.json").calibration.source == r"caf\udce9"


def test_a_document_whose_text_was_changed_is_refused_and_the_same_one_set_otherwise_is_read(tmp_path: Path) -> None:
    path, text = tmp_path / "recipe.json", RECIPE.to_json()
    assert has_checksum(text)
    path.write_text(json.dumps(json.loads(text), indent=4, sort_keys=True), encoding="utf-8")
    assert Recipe.load(path) == RECIPE
    path.write_text(text.replace('"photos"', '"other photos"'), encoding="utf-8")
    with pytest.raises(BadRecipe, match=CHECKSUM_FIELD):
        Recipe.load(path)


def test_a_document_of_an_earlier_version_has_no_checksum_and_is_read(tmp_path: Path) -> None:
    value = json.loads(RECIPE.to_json())
    del value[CHECKSUM_FIELD]
    (tmp_path / "recipe.json").write_text(json.dumps(value), encoding="utf-8")
    assert not has_checksum(json.dumps(value))
    assert Recipe.load(tmp_path / "recipe.json") == RECIPE


def test_the_checksum_is_the_documented_one() -> None:
    value = json.loads(RECIPE.to_json())
    stated = value.pop(CHECKSUM_FIELD)
    assert stated == hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
