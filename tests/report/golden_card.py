"""The card that `golden_card.md` holds; run this module to write it, and read what changed."""

from __future__ import annotations

from pathlib import Path

from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.report.model_card import render_model_card
from tests.fixtures import FIXTURES

GOLDEN = Path(__file__).with_suffix(".md")


def load_manifests() -> list[Manifest]:
    return [Manifest.load(path) for path in sorted((FIXTURES / "manifest").glob("*.json"))]


def render_golden_card() -> str:
    report = DeviceReport.load(FIXTURES / "device_report" / "galaxy-a14.json")
    return render_model_card(load_manifests(), reports=[report], license="mit", images="test")


if __name__ == "__main__":
    GOLDEN.write_text(render_golden_card(), encoding="utf-8")
