"""Puts the table of `make demo` into README.md, between its two comments.

shvit-mobile demo --json > demo.json
python tools/readme_table.py demo.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- demo table -->", "<!-- end -->"
HEADINGS = (
    *("target", "precision", "how", "MB", "top-1 %"),
    *("drop, points", "agreement %", "SQNR dB", "max error", "mean KL"),
)


def main(measured: Annotated[Path, typer.Argument(help="What `shvit-mobile demo --json` printed.")]) -> None:
    manifests = [artifact["manifest"] for artifact in json.loads(measured.read_text())["artifacts"]]
    lines = [
        f"Drift from the float model on {manifests[0]['drift']['images']} images, as `make demo` prints it "
        "(top-1 with its 95% interval; `how`: what ran):",
        "",
        f"| {' | '.join(HEADINGS)} |",
        f"|{'---|' * len(HEADINGS)}",
        *(f"| {' | '.join(cells(manifest))} |" for manifest in manifests),
    ]
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{chr(10).join(lines)}\n{END}{after}")


def cells(manifest: dict[str, Any]) -> list[str]:
    row = manifest["drift"]
    top1 = row["top1"]
    return [
        *(row["target"], row["precision"], row["how"]),
        f"{manifest['artifact']['bytes'] / 1e6:.2f}",
        f"{100 * top1['value']:.1f} ({100 * top1['low']:.1f}–{100 * top1['high']:.1f})",
        f"{row['top1_drop']:.2f}",
        f"{100 * row['agreement']['value']:.1f}",
        f"{row['sqnr_db']:.1f}",
        f"{row['max_abs_error']:.2g}",
        f"{row['mean_kl']:.1g}",
    ]


if __name__ == "__main__":
    typer.run(main)
