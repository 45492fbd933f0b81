"""Prints the line coverage of a Swift package's sources, and fails if the total is below a limit.

    python tools/ios/line_coverage.py COVERAGE.json SOURCES MINIMUM

COVERAGE.json is the output of `swift test --enable-code-coverage` (llvm-cov's export). Only files in SOURCES count.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def count_lines(export: dict[str, Any], sources: Path) -> dict[str, tuple[int, int]]:
    """Return the (covered, total) lines of each file in `sources`, by its relative name."""
    files = export["data"][0]["files"]
    return {
        Path(file["filename"]).relative_to(sources).as_posix(): (
            file["summary"]["lines"]["covered"],
            file["summary"]["lines"]["count"],
        )
        for file in files
        if Path(file["filename"]).is_relative_to(sources)
    }


def main() -> None:
    export, sources, least = (
        json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")),
        Path(sys.argv[2]).resolve(),
        float(sys.argv[3]),
    )
    lines = count_lines(export, sources)
    for name, (covered, counted) in sorted(lines.items()):
        print(f"{100 * covered / counted:6.1f}%  {counted:4d} lines  {name}")
    counted = sum(count for _, count in lines.values())
    share = 100 * sum(covered for covered, _ in lines.values()) / counted if counted else 0.0
    print(f"{share:6.1f}%  {counted:4d} lines  in total, at least {least:g}% required")
    if share < least:
        sys.exit(f"error: {share:.1f}% of the lines in {sources.name} are covered, but {least:g}% are required.")


if __name__ == "__main__":
    main()
