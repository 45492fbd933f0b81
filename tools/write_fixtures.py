"""Writes `schemas/fixtures/`: documents that the tests in Python, Swift and Kotlin all read.

Valid ones by their kind, `device_report_earlier/` an earlier run of one of the phones, `newer_minor/` what a later
version may write, `invalid/` what has to be refused, with an index of the reasons. None of the latencies was measured.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from fixture_faults import FAULTS, brief, broken, of_newer_minor
from fixture_models import (
    EXPORTS,
    SMALL_STEM,
    full_drift_report,
    manifest,
    recipe,
    sensitivity,
    small_drift_report,
    write_goldens,
)
from fixture_phones import EARLIER, PHONES, report

from shvit_mobile.contracts.document import Document
from shvit_mobile.contracts.goldens import Goldens

FOLDER = Path(__file__).parent.parent / "schemas" / "fixtures"
RULE = (
    "every file is refused; `why` is a part of the sentence in Python: the place of the fault, or what is wrong as a "
    "whole. An app may pass over the unknown field of unknown-field.json"
)


def write_fixtures(folder: Path) -> None:
    """Writes all of it into a folder that is not there yet."""
    for kind in ("device_report", "device_report_earlier", "manifest", "recipe", "drift_report", "sensitivity"):
        (folder / kind).mkdir(parents=True)
    for phone in PHONES:
        (folder / "device_report" / f"{phone.file}.json").write_text(report(phone).json_text())
    (folder / "device_report_earlier" / f"{EARLIER.file}.json").write_text(report(EARLIER).json_text())
    for export in EXPORTS:
        (folder / "manifest" / f"{export.stem}.manifest.json").write_text(manifest(export).json_text())
    for precision in ("fp16", "int8"):
        (folder / "recipe" / f"{precision}.recipe.json").write_text(recipe(precision).json_text())
    (folder / "drift_report" / "full.json").write_text(full_drift_report().json_text())
    (folder / "drift_report" / "small.json").write_text(small_drift_report().json_text())
    # No app reads it, so that it has no place below.
    (folder / "sensitivity" / "small.json").write_text(sensitivity().json_text())
    write_goldens(folder / "goldens")
    goldens = Goldens.read(folder / "goldens" / f"{SMALL_STEM}.goldens" / "goldens.json")
    documents = (brief(report(PHONES[0])), manifest(EXPORTS[4]), recipe("int8"), goldens, small_drift_report())
    write_newer(folder / "newer_minor", documents)
    write_invalid(folder / "invalid", documents)


def write_newer(folder: Path, documents: tuple[Document, ...]) -> None:
    folder.mkdir()
    for document in documents:
        write_json(folder / f"{document.NAME}.json", of_newer_minor(json.loads(document.to_json())))


def write_invalid(folder: Path, documents: tuple[Document, ...]) -> None:
    """A file for each fault, and `cases.json`."""
    cases = []
    for document in documents:
        (folder / document.NAME).mkdir(parents=True)
        value = json.loads(document.to_json())
        for fault in FAULTS[document.NAME]:
            file = f"{document.NAME}/{fault.name}.json"
            write_json(folder / file, broken(value, fault))
            cases.append({"file": file, "document": document.NAME, "why": fault.why})
    write_json(folder / "cases.json", {"rule": RULE, "cases": cases})


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_fixtures(FOLDER)
    print(f"{FOLDER.relative_to(FOLDER.parent.parent)}: {sum(1 for path in FOLDER.rglob('*') if path.is_file())} files")


if __name__ == "__main__":
    main()
