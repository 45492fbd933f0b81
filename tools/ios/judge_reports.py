"""Runs `shvit-mobile devices` on the reports of Swift's simulated benchmark and checks its result.

    python tools/ios/judge_reports.py REPORTS MODELS

REPORTS contains earlier.json, the equally fast now.json, and slower.json, which is 20% slower. The command must accept
them with the artifacts in MODELS and a gate of 5%: exit with 0 for now.json, and with 1 and a violation per row for
slower.json. The reports must have enough rounds to decide every row.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

MAX_SLOWDOWN = "5%"


def run_devices_command(report: Path, earlier: Path, models: Path) -> tuple[int, dict[str, Any], str]:
    """Return the command's exit status, its JSON output, and its messages."""
    program = Path(sys.executable).with_name("shvit-mobile")
    options = ["--artifacts", models, "--baseline", earlier, "--max-slowdown", MAX_SLOWDOWN, "--json"]
    command = [str(part) for part in (program, "devices", report, *options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def find_faults(report: Path, models: Path, status: int) -> list[str]:
    """Return what is wrong with the command's result for a report that must give an exit status."""
    actual, output, messages = run_devices_command(report, report.with_name("earlier.json"), models)
    if actual != status:
        return [f"the exit status is {actual}, not {status}.", messages]
    rows, gate = output["rows"], output["gate"]
    unknown = [row["artifact"] for row in rows if not row["known"]]
    unchecked = [row["artifact"] for row in rows if not (row["preprocessing_passed"] and row["inference_passed"])]
    slower = [row["artifact"] for row in rows] if status else []
    return [
        *(f"{name} is not among the artifacts." for name in unknown),
        *(f"{name} has no passed golden check." for name in unchecked),
        *(f"undecided: {sentence}" for sentence in gate["caveats"]),
        *(
            [f"{len(gate['violations'])} of {len(slower)} are reported as slower."]
            if len(gate["violations"]) != len(slower)
            else []
        ),
        *(["a row has no earlier result."] if len(output["comparisons"]) != len(rows) else []),
    ]


def main() -> None:
    reports, models = map(Path, sys.argv[1:])
    for name, status in {"now": 0, "slower": 1}.items():
        if faults := find_faults(reports / f"{name}.json", models, status):
            sys.exit("\n".join(f"error: shvit-mobile devices {name}.json: {fault}" for fault in faults))
        print(f"shvit-mobile devices accepts Swift's {name}.json and exits with {status}.")


if __name__ == "__main__":
    main()
