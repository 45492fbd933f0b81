"""Has `shvit-mobile devices` judge the device reports of Swift's simulated benchmark, as a person would have it do.

    python tools/ios/judge_reports.py REPORTS MODELS

REPORTS holds earlier.json; now.json, as fast; slower.json, 20% slower. The command has to take them with the artifacts
in MODELS, which they name by SHA-256, and with a gate of 5%: end with 0 for the one, with 1 and a sentence a row for
the other, and leave no row open, for which a report needs enough rounds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

MAX_SLOWDOWN = "5%"


def run_devices_command(report: Path, earlier: Path, models: Path) -> tuple[int, dict[str, Any], str]:
    """The command's exit status, what it says as JSON, and its words."""
    program = Path(sys.executable).with_name("shvit-mobile")
    options = ["--artifacts", models, "--baseline", earlier, "--max-slowdown", MAX_SLOWDOWN, "--json"]
    command = [str(part) for part in (program, "devices", report, *options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def find_faults(report: Path, models: Path, status: int) -> list[str]:
    """What is not as it has to be of a report that is to end with a status."""
    ended, told, words = run_devices_command(report, report.with_name("earlier.json"), models)
    if ended != status:
        return [f"it ends with {ended}, not with {status}.", words]
    rows, gate = told["rows"], told["gate"]
    strange = [row["artifact"] for row in rows if not row["known"]]
    unchecked = [row["artifact"] for row in rows if not (row["preprocessing_passed"] and row["inference_passed"])]
    slower = [row["artifact"] for row in rows] if status else []
    return [
        *(f"{name} is not among the artifacts." for name in strange),
        *(f"{name} has no golden check that passed." for name in unchecked),
        *(f"left open: {sentence}" for sentence in gate["caveats"]),
        *(
            [f"{len(gate['violations'])} of {len(slower)} are slower."]
            if len(gate["violations"]) != len(slower)
            else []
        ),
        *(["a row has no earlier one."] if len(told["comparisons"]) != len(rows) else []),
    ]


def main() -> None:
    reports, models = map(Path, sys.argv[1:])
    for name, status in {"now": 0, "slower": 1}.items():
        if found := find_faults(reports / f"{name}.json", models, status):
            sys.exit("\n".join(f"error: shvit-mobile devices {name}.json: {fault}" for fault in found))
        print(f"shvit-mobile devices takes Swift's {name}.json, and ends with {status}.")


if __name__ == "__main__":
    main()
