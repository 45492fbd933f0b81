"""Prints the line coverage of each source of a Swift package, and fails where the whole is below what is asked.

    python tools/ios/line_coverage.py COVERAGE.json SOURCES LEAST

COVERAGE.json is what `swift test --enable-code-coverage` writes (llvm-cov's export); SOURCES the folder that counts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def count_lines(export: dict[str, Any], sources: Path) -> dict[str, tuple[int, int]]:
    """(covered, counted) lines of each file below `sources`, by its relative name."""
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
    export, sources, least = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]).resolve(), float(sys.argv[3])
    lines = count_lines(export, sources)
    for name, (covered, counted) in sorted(lines.items()):
        print(f"{100 * covered / counted:6.1f}%  {counted:4d} lines  {name}")
    counted = sum(count for _, count in lines.values())
    share = 100 * sum(covered for covered, _ in lines.values()) / counted if counted else 0.0
    print(f"{share:6.1f}%  {counted:4d} lines  in all; at least {least:g}% are asked")
    if share < least:
        sys.exit(f"error: {share:.1f}% of the lines in {sources.name} are covered, and {least:g}% are asked.")


if __name__ == "__main__":
    main()
