"""A model card says what was done and no more, in metadata that Hugging Face reads and in Markdown that stays whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.errors import InvalidConfig, InvalidValue, OutputExists
from shvit_mobile.report.model_card import CARD_FILE, CARD_MARKER, check_card, check_license, render_model_card
from tests.fixtures import FIXTURES
from tests.report.golden_card import GOLDEN, load_manifests, render_golden_card


def changed(manifest: Manifest, part: str, **fields: Any) -> Manifest:
    return manifest.model_copy(update={part: getattr(manifest, part).model_copy(update=fields)})


def metadata(text: str) -> dict[str, Any]:
    _, front, body = text.split("---\n", 2)
    assert body.startswith(f"\n{CARD_MARKER}\n")
    found = yaml.safe_load(front)
    assert isinstance(found, dict)
    return found


def test_the_card_is_the_golden_one() -> None:
    assert render_golden_card() == GOLDEN.read_text(encoding="utf-8"), (
        "run: .venv/bin/python -m tests.report.golden_card"
    )


def test_metadata_is_what_hugging_face_reads() -> None:
    text = render_golden_card()
    told = metadata(text)
    assert (told["license"], told["pipeline_tag"], told["library_name"]) == (
        "mit",
        "image-classification",
        "shvit-mobile",
    )
    assert {"shvit", "coreml", "executorch", "int8-weights"} <= set(told["tags"])
    results = ModelCard(text).data.eval_results
    assert results is not None
    found = {(one.metric_type, one.metric_name): one.metric_value for one in results}
    for manifest in load_manifests():
        assert manifest.drift is not None
        assert manifest.drift.top1 is not None
        named = f"{manifest.artifact.name} ({manifest.drift.how})"
        assert found["accuracy", f"top-1, {named}"] == manifest.drift.top1.value
        assert found["agreement", f"agreement with the float model, {named}"] == manifest.drift.agreement.value
    assert {one.dataset_name for one in results} == {"test (500 images)"}


@pytest.mark.parametrize(
    ("variant", "dialect", "title", "phrase"),
    [
        ("repvit_m0_9", "timm", "# repvit\\_m0\\_9 for phones", "A model of [timm]"),
        ("repvit_m0_9", "shvit-mobile", "# repvit\\_m0\\_9 for phones", "A model of [timm]"),
        ("custom", "module", "# custom for phones", "A PyTorch model"),
    ],
)
def test_another_model_is_not_called_a_shvit(variant: str, dialect: str, title: str, phrase: str) -> None:
    manifests = [changed(one, "model", variant=variant, dialect=dialect, source="net.pth") for one in load_manifests()]
    text = render_model_card([one.model_copy(update={"drift": None}) for one in manifests])
    introduction = text.partition("## Artifacts")[0]
    assert title in introduction
    assert phrase in introduction
    assert "arxiv" not in text
    assert not {"shvit", "vision-transformer"} & set(metadata(text)["tags"])


def test_a_shvit_of_other_sizes_is_one() -> None:
    text = render_model_card([changed(one, "model", variant="custom") for one in load_manifests()])
    assert "# SHViT for phones" in text
    assert "shvit" in metadata(text)["tags"]


def test_a_license_is_unknown_by_default() -> None:
    assert metadata(render_model_card(load_manifests()))["license"] == "unknown"
    check_license("cc-by-nc-4.0")
    for wrong in ("MIT License", "", "mit\nbase_model: evil"):
        with pytest.raises(InvalidValue) as error:
            check_license(wrong)
        assert error.value.parameter == "license"


def test_what_was_not_compared_has_no_accuracy_and_says_so() -> None:
    bare = [manifest.model_copy(update={"drift": None}) for manifest in load_manifests()]
    text = render_model_card(bare)
    assert "model-index" not in metadata(text)
    assert f"Not compared with the float model on images: `{bare[0].artifact.name}`, `" in text
    assert "Each artifact compared with the float checkpoint" not in text


def test_without_labels_there_is_agreement_and_no_accuracy() -> None:
    unlabelled = dict.fromkeys(("top1", "top5", "top1_drop", "top1_drop_interval", "mcnemar"))
    text = render_model_card([changed(manifest, "drift", **unlabelled) for manifest in load_manifests()])
    told = metadata(text)
    assert "metrics" not in told
    assert {one["type"] for one in told["model-index"][0]["results"][0]["metrics"]} == {"agreement"}
    assert "top-1 %" not in text


def test_only_what_ran_is_explained() -> None:
    native = [manifest for manifest in load_manifests() if manifest.target == "executorch"]
    text = render_model_card(native)
    assert "- `native`:" in text
    assert "reference" not in text


def test_latency_is_unknown_without_a_measurement() -> None:
    other = [manifest for manifest in load_manifests() if manifest.target == "coreml"]
    report = DeviceReport.load(FIXTURES / "device_report" / "pixel-8.json")
    for text in (render_model_card(other), render_model_card(other, reports=[report])):
        assert "were not measured on a device" in text
        assert "Pixel" not in text


def test_a_fixture_is_called_one_in_every_row() -> None:
    report = DeviceReport.load(FIXTURES / "device_report" / "pixel-8.json")
    told = render_model_card(load_manifests(), reports=[report])
    assert told.count("| Pixel 8 **(fixture, not measured)** |") == 6
    measured = render_model_card(load_manifests(), reports=[report.model_copy(update={"fixture": False})])
    assert "fixture" not in measured
    assert measured.count("| Pixel 8 |") == 6


def test_names_from_files_stay_names() -> None:
    first = load_manifests()[0]
    hostile = changed(first, "model", source="a`b|c\n---\nlicense: gpl.pth", dialect="<script>")
    hostile = hostile.model_copy(update={"labels": ("[x](http://x)", "<img src=x>", "a_b*c")})
    text = render_model_card([hostile], images="photos: 'x'\nlicense: gpl")
    assert metadata(text)["license"] == "unknown"
    assert "<script>" not in text
    assert "<img" not in text
    assert r"\[x\](http://x), &lt;img src=x&gt;, a\_b\*c" in text
    assert "`a'b¦c --- license: gpl.pth`" in text


def test_artifacts_of_two_checkpoints_have_no_card_together() -> None:
    first, *others = load_manifests()
    with pytest.raises(InvalidConfig, match="these 5 manifests"):
        render_model_card([changed(first, "model", checkpoint_sha256="0" * 64), *others])
    with pytest.raises(InvalidConfig, match="these 0 manifests"):
        render_model_card([])


def test_a_readme_of_somebody_elses_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / CARD_FILE
    check_card(path, overwrite=False)
    path.write_text("# My project", encoding="utf-8")
    for overwrite in (False, True):
        with pytest.raises(OutputExists):
            check_card(path, overwrite=overwrite)
    path.write_text(render_golden_card(), encoding="utf-8")
    check_card(path, overwrite=True)
    with pytest.raises(OutputExists):
        check_card(path, overwrite=False)
