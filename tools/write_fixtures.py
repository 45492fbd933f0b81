"""Write `schemas/fixtures/`: documents that the tests in Python, Swift and Kotlin read.

Valid documents are in a folder of their kind. `device_report_earlier/` is an earlier run of one of the phones,
`device_report_other_timing/` one of an app that timed more than the call of the runtime,
`newer_minor/` is what a later version may write, and `invalid/` must be rejected, with an index of the reasons. The
latencies are made up.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from fixture_faults import FAULTS, apply_fault, shorten_report, to_newer_minor
from fixture_models import (
    EXPORTS,
    SMALL_STEM,
    build_full_drift_report,
    build_manifest,
    build_recipe,
    build_sensitivity,
    build_small_drift_report,
    write_goldens,
)
from fixture_phones import EARLIER, OTHER_TIMING, PHONES, build_device_report

from shvit_mobile.contracts.document import Document
from shvit_mobile.contracts.goldens import Goldens

FOLDER = Path(__file__).parent.parent / "schemas" / "fixtures"
RULE = (
    "every file is refused; `why` is a part of the sentence in Python: the place of the fault, or what is wrong as a "
    "whole. An app may pass over the unknown field of unknown-field.json"
)


def write_fixtures(folder: Path) -> None:
    """Write all fixtures into a folder that does not exist yet."""
    for phone in PHONES:
        build_device_report(phone).save(folder / "device_report" / f"{phone.file}.json")
    build_device_report(EARLIER).save(folder / "device_report_earlier" / f"{EARLIER.file}.json")
    build_device_report(OTHER_TIMING).save(folder / "device_report_other_timing" / f"{OTHER_TIMING.file}.json")
    for export in EXPORTS:
        build_manifest(export).save(folder / "manifest" / f"{export.stem}.manifest.json")
    for precision in ("fp16", "int8"):
        build_recipe(precision).save(folder / "recipe" / f"{precision}.recipe.json")
    build_full_drift_report().save(folder / "drift_report" / "full.json")
    build_small_drift_report().save(folder / "drift_report" / "small.json")
    # No app reads it, so `documents` leaves it out.
    build_sensitivity().save(folder / "sensitivity" / "small.json")
    write_goldens(folder / "goldens")
    goldens = Goldens.load(folder / "goldens" / f"{SMALL_STEM}.goldens" / "goldens.json")
    report = shorten_report(build_device_report(PHONES[0]))
    documents = (report, build_manifest(EXPORTS[4]), build_recipe("int8"), goldens, build_small_drift_report())
    write_newer(folder / "newer_minor", documents)
    write_invalid(folder / "invalid", documents)


def write_newer(folder: Path, documents: tuple[Document, ...]) -> None:
    folder.mkdir()
    for document in documents:
        write_json(folder / f"{document.NAME}.json", to_newer_minor(json.loads(document.to_json())))


def write_invalid(folder: Path, documents: tuple[Document, ...]) -> None:
    """Write a file for each fault, and `cases.json`."""
    cases = []
    for document in documents:
        (folder / document.NAME).mkdir(parents=True)
        value = json.loads(document.to_json())
        for fault in FAULTS[document.NAME]:
            file = f"{document.NAME}/{fault.name}.json"
            write_json(folder / file, apply_fault(value, fault))
            cases.append({"file": file, "document": document.NAME, "why": fault.why})
    write_json(folder / "cases.json", {"rule": RULE, "cases": cases})


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_fixtures(FOLDER)
    print(f"{FOLDER.relative_to(FOLDER.parent.parent)}: {sum(1 for path in FOLDER.rglob('*') if path.is_file())} files")


if __name__ == "__main__":
    main()
