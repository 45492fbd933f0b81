"""Reads a device report that Swift wrote, as any other: `python tools/ios/read_report.py REPORT.json`."""

from __future__ import annotations

import sys
from pathlib import Path

from shvit_mobile.bench.report import DeviceReport
from shvit_mobile.errors import ShvitError


def main() -> None:
    try:
        report = DeviceReport.read(Path(sys.argv[1]))
    except ShvitError as reason:
        sys.exit(f"error: {reason}")
    for result in report.results:
        samples, windows = result.latency.samples, len(result.windows)
        print(f"Python reads Swift's report: {result.name}, {samples} inferences, {windows} windows.")


if __name__ == "__main__":
    main()
