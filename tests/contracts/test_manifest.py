"""A manifest says what its model computes, and its outputs, labels and goldens follow from that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fixture_models import EXPORTS, build_manifest

from shvit_mobile.bench.golden_check import select_values
from shvit_mobile.contracts.drift_row import DriftRow, MapDrift
from shvit_mobile.contracts.manifest import InputSize, Manifest, OutputContract, OutputMap, OutputSamples, RampGolden
from shvit_mobile.errors import BadArtifact, InvalidValue

CLASSIFIER = build_manifest(EXPORTS[3])
MAPS = (
    OutputMap(name="stride16", shape=(8, 14, 14), stride=16),
    OutputMap(name="stride32", shape=(12, 7, 7), stride=32),
)
SAMPLES = (
    OutputSamples(name="stride16", positions=(0, 1567), tolerance=0.5),
    OutputSamples(name="stride32", positions=(3,), tolerance=0.25),
)
GOLDEN = RampGolden(sampled_outputs=SAMPLES, sampled_values=(1.0, -2.0, 0.5), how="native", tolerance=0.5)


def build_features(**changes: Any) -> Manifest:
    """A manifest of feature maps, with some fields changed."""
    fields: dict[str, Any] = {
        "task": "features",
        "labels": (),
        "model": CLASSIFIER.model.model_copy(update={"classes": 0}),
        "output": OutputContract(maps=MAPS),
        "golden": GOLDEN,
        "drift": None,
    }
    return CLASSIFIER.model_copy(update=fields | changes)


def test_maps_survive_writing_and_have_their_shapes_by_name() -> None:
    manifest = build_features()
    again = Manifest.parse(manifest.to_json(), "a.json")
    assert again == manifest
    assert again.output_shapes == {"stride16": (8, 14, 14), "stride32": (12, 7, 7)}
    assert CLASSIFIER.output_shapes == {"logits": (10,)}


def test_a_manifest_of_version_1_0_is_a_classifier() -> None:
    text = CLASSIFIER.model_copy(update={"schema_version": "1.0"}).model_dump_json(exclude={"task"})
    manifest = Manifest.parse(text, "a.json")
    assert (manifest.task, manifest.schema_version) == ("classify", "1.0")


def test_an_unknown_task_is_rejected_with_the_known_ones() -> None:
    text = build_features().model_dump_json().replace('"task":"features"', '"task":"segment"')
    with pytest.raises(BadArtifact) as refusal:
        Manifest.parse(text, "a.json")
    assert "task: Input should be 'classify', 'features' or 'detect'" in refusal.value.what


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"labels": CLASSIFIER.labels, "model": CLASSIFIER.model}, "model.classes"),
        ({"output": OutputContract(logits="logits", maps=MAPS)}, "output"),
        ({"output": OutputContract()}, "output"),
        ({"output": OutputContract(maps=(MAPS[0], MAPS[0])), "golden": None}, "output.maps"),
        ({"output": OutputContract(maps=(MAPS[0].model_copy(update={"stride": 8}), MAPS[1]))}, "output.maps"),
        ({"task": "classify"}, "model.classes"),
        ({"task": "detect"}, "model.classes"),
        ({"golden": GOLDEN.model_copy(update={"sampled_values": (1.0,)})}, "golden.sampled_values"),
        ({"golden": CLASSIFIER.golden}, "golden.sampled_outputs"),
        ({"output": OutputContract(maps=MAPS[:1])}, "golden.sampled_outputs"),
        (
            {
                "golden": GOLDEN.model_copy(
                    update={"sampled_outputs": (SAMPLES[0].model_copy(update={"positions": (0, 1568)}), SAMPLES[1])}
                )
            },
            "golden.sampled_outputs",
        ),
    ],
)
def test_a_task_and_its_outputs_do_not_contradict_each_other(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(BadArtifact) as refusal:
        Manifest.parse(build_features(**changes).model_dump_json(), "a.json")
    assert f"a.json is not a manifest: the file: {why}" in refusal.value.what


def test_a_classifier_has_logits() -> None:
    with pytest.raises(BadArtifact, match="output"):
        Manifest.parse(CLASSIFIER.model_copy(update={"output": OutputContract(maps=MAPS)}).model_dump_json(), "a.json")


def test_goldens_hold_the_values_of_each_map_at_its_positions() -> None:
    outputs = {one.name: np.random.default_rng(0).normal(size=(2, *one.shape)).astype(np.float32) for one in MAPS}
    values = select_values(outputs, SAMPLES)
    expected = [
        [outputs["stride16"][i, 0, 0, 0], outputs["stride16"][i, 7, 13, 13], outputs["stride32"][i, 0, 0, 3]]
        for i in (0, 1)
    ]
    np.testing.assert_array_equal(values, np.array(expected))


def test_a_drift_row_is_of_classes_or_of_maps() -> None:
    drift = MapDrift(
        name="stride16", sqnr_db=30.0, cosine=0.999, worst_channel=3, worst_channel_db=21.0, max_abs_error=0.5
    )
    common = {"artifact": "a", "target": "onnx", "precision": "int8", "how": "native", "engine": "e", "images": 4}
    row = DriftRow(**common, sqnr_db=30.0, max_abs_error=0.5, maps=(drift,))
    assert DriftRow.model_validate_json(row.model_dump_json(), strict=True) == row
    for name, wrong in {"maps": (), "mean_kl": 0.1, "sqnr_db": 31.0, "max_abs_error": 0.4}.items():
        with pytest.raises(ValueError, match=r"agreement|maps|sqnr_db|max_abs_error"):
            DriftRow(**(row.model_dump() | {name: wrong}))
    with pytest.raises(ValueError, match="worst_channel_db"):
        MapDrift(**(drift.model_dump() | {"worst_channel_db": 33.0}))


def build_program(*sizes: InputSize) -> Manifest:
    """A manifest of a program, with image sizes beside its own."""
    manifest = next(one for one in map(build_manifest, EXPORTS) if one.target == "executorch" and one.golden)
    own = InputSize(size=manifest.preprocessing.size, method="forward", golden=manifest.golden)
    return manifest.model_copy(update={"sizes": (own, *sizes)})


OTHER_SIZE = InputSize(size=(96, 128), method="forward_96x128")


def test_the_sizes_of_a_program_survive_writing_and_the_manifest_of_each_is_its_own() -> None:
    golden = build_program().golden
    assert golden is not None
    changed = golden.model_copy(update={"logits": (*golden.logits[1:], 7.0)})
    manifest = build_program(OTHER_SIZE.model_copy(update={"golden": changed}))
    again = Manifest.parse(manifest.to_json(), "a.json")
    assert again == manifest
    assert again.method == "forward"
    other = again.select_size((96, 128))
    assert (other.preprocessing.size, other.input.shape, other.method) == ((96, 128), (1, 3, 96, 128), "forward_96x128")
    assert (other.golden, other.goldens, other.drift) == (changed, None, None)
    Manifest.parse(other.to_json(), "a.json")
    assert again.select_size(again.preprocessing.size) is again
    with pytest.raises(InvalidValue, match="96x128"):
        again.select_size((64, 65))
    with pytest.raises(InvalidValue, match="takes no images of 64x65"):
        CLASSIFIER.select_size((64, 65))


@pytest.mark.parametrize(
    ("sizes", "why"),
    [
        ((OTHER_SIZE, OTHER_SIZE), "sizes: two are the same"),
        ((OTHER_SIZE, InputSize(size=(32, 32), method="forward")), "sizes: two are the same"),
        ((OTHER_SIZE.model_copy(update={"golden": GOLDEN}),), "golden."),
    ],
)
def test_the_sizes_of_a_program_do_not_contradict_each_other(sizes: tuple[InputSize, ...], why: str) -> None:
    with pytest.raises(BadArtifact, match=why):
        Manifest.parse(build_program(*sizes).model_dump_json(), "a.json")


def test_several_sizes_have_the_first_and_only_programs_and_packages_have_them() -> None:
    program = build_program(OTHER_SIZE)
    renamed = program.artifact.model_copy(update={"name": "a.onnx"})
    for manifest in (
        build_program().model_copy(update={"sizes": (OTHER_SIZE,)}),
        program.model_copy(update={"target": "onnx", "artifact": renamed, "delegation": None, "drift": None}),
    ):
        with pytest.raises(BadArtifact, match="sizes: "):
            Manifest.parse(manifest.model_dump_json(), "a.json")
    package = build_manifest(EXPORTS[0])
    own, other = (InputSize(size=size, method=f"main{size[0]}") for size in (package.preprocessing.size, (96, 128)))
    assert Manifest.parse(package.model_copy(update={"sizes": (own, other)}).model_dump_json(), "a.json").sizes
