"""The README's table is what the demo's report says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import readme_table

from shvit_mobile.errors import BadArtifact
from tests.docs.test_figures import parse_tables
from tests.fixtures import FIXTURES


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A drift report with the manifests of its artifacts beside it."""
    path = tmp_path / "drift_report.json"
    shutil.copy(FIXTURES / "drift_report" / "full.json", path)
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
        manifest = (FIXTURES / "manifest" / row["artifact"]).with_suffix(".manifest.json")
        if manifest.exists():
            shutil.copy(manifest, tmp_path)
    return path


def test_the_table_shows_the_figures_of_the_report(report: Path) -> None:
    measured = [row for row in json.loads(report.read_text(encoding="utf-8"))["rows"] if row["how"] != "simulated"]
    written = list(parse_tables(readme_table.format_table(report)))
    assert [(row["name"], row["precision"]) for row in written] == [(r["target"], r["precision"]) for r in measured]
    for row, expected in zip(written, measured, strict=True):
        assert row["execution"] == expected["how"]
        assert row["SQNR dB"] == f"{expected['sqnr_db']:.1f}"
        assert row["agreement %"] == f"{100 * expected['agreement']['value']:.1f}"


def test_a_report_of_other_artifacts_is_refused(report: Path) -> None:
    document = json.loads(report.read_text(encoding="utf-8"))
    del document["content_sha256"]
    measured = next(row for row in document["rows"] if row["how"] != "simulated")
    report.write_text(json.dumps(document).replace(measured["artifact_sha256"], "ab" * 32), encoding="utf-8")
    with pytest.raises(BadArtifact):
        readme_table.format_table(report)


def test_only_the_text_between_the_comments_is_replaced() -> None:
    text = f"before\n{readme_table.BEGIN}\nold\n{readme_table.END}\nafter\n"
    assert readme_table.replace_table(text, "new") == text.replace("old", "new")
