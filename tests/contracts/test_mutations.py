"""A document with one value changed is refused: by its checksum or, without one, as a contradiction."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.document import CHECKSUM_FIELD, Document
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.goldens import Goldens
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.contracts.sensitivity import SensitivityReport
from shvit_mobile.errors import ShvitError
from tests.fixtures import FIXTURES

INT8 = "shvit_s1-224-executorch-int8"
GOLDENS = FIXTURES / "goldens" / "shvit_s1-64-executorch-fp32.goldens" / "goldens.json"
DOCUMENTS: dict[str, tuple[type[Document], Path]] = {
    "manifest": (Manifest, FIXTURES / "manifest" / f"{INT8}.manifest.json"),
    "recipe": (Recipe, FIXTURES / "recipe" / "int8.recipe.json"),
    "goldens": (Goldens, GOLDENS),
    "drift_report": (DriftReport, FIXTURES / "drift_report" / "full.json"),
    "device_report": (DeviceReport, FIXTURES / "device_report" / "pixel-8.json"),
    "sensitivity": (SensitivityReport, FIXTURES / "sensitivity" / "small.json"),
}
# Of what has no checksum, nothing but the files and hashes beside it can tell these: names and texts, settings and
# conditions that a person might have chosen, single measurements beside the samples, and what the folder's SHA-256 in
# the manifest covers.
FREE_FIELDS = {
    "goldens": {"artifact_sha256", "engine", "how", "image", "image_sha256", "pixels", "pixels_sha256", "precision",
                "preprocessing", "tolerance", "pixels_tolerance", "reduced_pixels_tolerance", "logits",
                "float_logits", "schema_version"},
    "device_report": {"app", "versions", "fixture", "device", "settings", "conditions", "name", "engine", "precision",
                      "artifact_sha256", "compute", "threads", "load_ms", "first_ms", "windows", "ratio", "created",
                      "peak_memory_bytes", "running_memory_bytes", "size_bytes", "macs", "placement", "roofs",
                      "pixels_difference", "preprocessing_passed", "sqnr_db", "same_class", "tolerance",
                      "largest_difference", "compile_ms", "roof_share", "images", "schema_version", "stages",
                      "failures"},
}  # fmt: skip


def iterate_places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the place of every plain value; of long lists, of the first two and the last."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from iterate_places(member, (*place, key))
    elif isinstance(value, list):
        for index in sorted({0, 1, len(value) - 1} & set(range(len(value)))):
            yield from iterate_places(value[index], (*place, index))
    else:
        yield place


def mutate(value: Any) -> Any:
    """Return another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 1.5 + 0.001
        case str():
            return value[:-1] + ("0" if value[-1:] != "0" else "1")
    return 1


def replace_value(document: dict[str, Any], place: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    copy = deepcopy(document)
    inner: Any = copy
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return copy


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_value_of_a_document_that_is_changed_is_noticed(name: str) -> None:
    kind, path = DOCUMENTS[name]
    document = json.loads(path.read_text(encoding="utf-8"))
    free = FREE_FIELDS.get(name, set())
    assert bool(free) != kind.HAS_CHECKSUM
    unseen, places = [], list(iterate_places(document))
    for place in places:
        changed = replace_value(document, place, mutate(document_value(document, place)))
        try:
            kind.parse(json.dumps(changed), "changed.json")
        except ShvitError:
            continue
        if not free & set(place):
            unseen.append(place)
    assert len(places) > 15
    assert not unseen


def document_value(document: Any, place: tuple[str | int, ...]) -> Any:
    for key in place:
        document = document[key]
    return document


Change = tuple[tuple[str | int, ...], Any]
MANIFEST_LIES: dict[str, Change] = {
    "a name that leads elsewhere": (("artifact", "name"), "../../x.pte"),
    "an absolute name": (("artifact", "name"), "/elsewhere/x.pte"),
    "a name of another target": (("artifact", "name"), "x.onnx"),
    "no bytes": (("artifact", "bytes"), 0),
    "a label less": (("labels",), ["cat", "dog"]),
    "a label more": (("labels",), [f"class {index}" for index in range(11)]),
    "no labels": (("labels",), []),
    "labels all the same": (("labels",), ["cat"] * 10),
    "another precision": (("precision",), "fp32"),
    "another precision of the recipe": (("recipe", "precision"), "int8-weights"),
    "a turned range": (("recipe", "ranges", "patch_embed.0", "input"), [151.0, -123.0]),
    "a range beyond float32": (("recipe", "ranges", "patch_embed.0", "output"), [0.0, 1e35]),
    "an unknown float kind": (("recipe", "float_kinds"), ["heads"]),
    "another size": (("preprocessing", "size"), [192, 192]),
    "another layout": (("input", "layout"), "space-to-depth"),
    "another input size": (("input", "shape"), [1, 3, 192, 192]),
    "a negative batch": (("input", "shape"), [-1, 3, 224, 224]),
    "an image for ExecuTorch": (("input", "kind"), "image"),
    "labels out of ExecuTorch": (("output", "label"), "classLabel"),
    "a negative count": (("inventory", "quantized_layers"), -1),
    "negative weights": (("inventory", "weight_bytes", "int8"), -1),
    "a negative delegation": (("delegation", "delegated_operators"), -1),
    "a tolerance of anything": (("golden", "tolerance"), 100.0),
    "a negative tolerance": (("golden", "tolerance"), -1.0),
    "two logits": (("golden", "logits"), [1.0, 2.0]),
    "logits all the same": (("golden", "logits"), [1.0] * 10),
    "drift of another artifact": (("drift", "artifact_sha256"), "0" * 64),
    "drift of another name": (("drift", "artifact"), "other.pte"),
    "drift of another precision": (("drift", "precision"), "fp32"),
    "another top-1": (("drift", "top1", "value"), 0.5),
    "another drop": (("drift", "top1_drop"), 0.7),
    "a turned interval": (("drift", "top1_drop_interval"), [3.0, -1.0]),
    "more images lost": (("drift", "mcnemar", "lost"), 40),
    "more agreement than images": (("drift", "agreement", "value"), 0.9999),
    "a negative error": (("drift", "max_abs_error"), -1.0),
    "equal logits": (("drift", "sqnr_db"), "Infinity"),
    "a version before the first": (("schema_version",), "0.9"),
    "a version with a zero before it": (("schema_version",), "01.0"),
}


@pytest.mark.parametrize("lie", MANIFEST_LIES)
def test_a_manifest_that_contradicts_itself_is_refused_with_or_without_a_checksum(lie: str) -> None:
    document = json.loads(DOCUMENTS["manifest"][1].read_text(encoding="utf-8"))
    del document[CHECKSUM_FIELD]
    Manifest.parse(json.dumps(document), "m.json")
    with pytest.raises(ShvitError):
        Manifest.parse(json.dumps(replace_value(document, *MANIFEST_LIES[lie])), "m.json")


GOLDENS_LIES: dict[str, Change] = {
    "an image outside": (("images", 0, "image"), "../0.jpg"),
    "pixels outside": (("images", 1, "pixels"), "/etc/hostname"),
    "one file for two": (("images", 1, "pixels"), "0.pixels.rgb"),
    "itself": (("images", 1, "pixels"), "goldens.json"),
    "a tolerance of anything": (("tolerance",), 100.0),
    "pixels of anything": (("pixels_tolerance",), 100.0),
    "a logit less": (("images", 0, "logits"), [1.0] * 9),
    "other logits": (("images", 0, "logits"), [-float(index) for index in range(10)]),
    "no logits": (("images", 0, "logits"), []),
}


@pytest.mark.parametrize("lie", GOLDENS_LIES)
def test_goldens_that_contradict_themselves_are_refused(lie: str) -> None:
    document = json.loads(GOLDENS.read_text(encoding="utf-8"))
    with pytest.raises(ShvitError):
        Goldens.parse(json.dumps(replace_value(document, *GOLDENS_LIES[lie])), "goldens.json")
