"""Documents to make reports of: the project's fixtures, and changed copies of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shvit_mobile.contracts.document import CHECKSUM_FIELD
from shvit_mobile.contracts.report import ModelReport
from shvit_mobile.report.join import build_report

FIXTURES = Path(__file__).parents[2] / "schemas" / "fixtures"
PHONES = FIXTURES / "device_report"
MANIFESTS = FIXTURES / "manifest"
DRIFT = FIXTURES / "drift_report" / "full.json"
INSTRUCTIONS = Path(__file__).parents[1] / "runtimes" / "arm64" / "demo_instructions.json"
SENSITIVITY = FIXTURES / "sensitivity" / "small.json"
INT8 = "shvit_s1-224-coreml-int8"
OTHER_HASH = "ab" * 32


def build_full_report() -> ModelReport:
    """All fixtures of the demo model."""
    return build_report([MANIFESTS, DRIFT, PHONES, SENSITIVITY, INSTRUCTIONS])


def load_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(folder: Path, name: str, value: dict[str, Any]) -> Path:
    """Write a changed document, without the checksum of the original, as an earlier version would."""
    if isinstance(value, dict):
        value = {key: field for key, field in value.items() if key != CHECKSUM_FIELD}
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def load_manifest(stem: str = INT8) -> dict[str, Any]:
    return load_json(MANIFESTS / f"{stem}.manifest.json")


def load_phone_report(name: str = "iphone-13", *, measured: bool = False) -> dict[str, Any]:
    """A phone's report; `measured` calls it no fixture."""
    return load_json(PHONES / f"{name}.json") | ({"fixture": False} if measured else {})
