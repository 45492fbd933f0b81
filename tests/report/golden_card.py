"""The card that `golden_card.md` holds; run this module to write it, and read what changed."""

from __future__ import annotations

from pathlib import Path

from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.report.model_card import card
from tests.fixtures import FIXTURES

GOLDEN = Path(__file__).with_suffix(".md")


def manifests() -> list[Manifest]:
    return [Manifest.read(path) for path in sorted((FIXTURES / "manifest").glob("*.json"))]


def golden_card() -> str:
    report = DeviceReport.read(FIXTURES / "device_report" / "galaxy-a14.json")
    return card(manifests(), reports=[report], license="mit", images="test")


if __name__ == "__main__":
    GOLDEN.write_text(golden_card())
