"""Write the table of `make demo` into README.md, between its two comments.

make demo
python tools/readme_table.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shvit_mobile.contracts.artifact import get_manifest_path
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.drift_row import DriftRow
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.errors import BadArtifact

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
REPORT = ROOT / "artifacts" / "demo" / "drift_report.json"
BEGIN, END = "<!-- demo table -->", "<!-- end -->"
HEADINGS = (
    *("target", "precision", "execution", "MB", "top-1 %"),
    *("drop, points", "agreement %", "SQNR dB", "max error", "mean KL"),
)


def main(
    report: Annotated[
        Path, typer.Argument(help="The drift report that the demo writes beside its artifacts.")
    ] = REPORT,
) -> None:
    README.write_text(replace_table(README.read_text(encoding="utf-8"), format_table(report)), encoding="utf-8")


def format_table(report: Path) -> str:
    """Return the table of a drift report's artifacts, whose manifests are beside it.

    Raises:
        BadReport: If the report cannot be read, or is not one.
        BadArtifact: If a manifest cannot be read, or is of another artifact than the report.
    """
    rows = [row for row in DriftReport.load(report).rows if row.how != "simulated"]
    return "\n".join(
        [
            f"Drift from the float model on {rows[0].images} images, as `make demo` measures it (top-1 with its 95% "
            "interval; [execution](docs/guides/validate.md#read-the-table) says what ran the artifact):",
            "",
            f"| {' | '.join(HEADINGS)} |",
            f"|{'---|' * len(HEADINGS)}",
            *(f"| {' | '.join(format_cells(row, get_artifact_size(row, report.parent)))} |" for row in rows),
        ]
    )


def get_artifact_size(row: DriftRow, folder: Path) -> int:
    """Return the bytes of a row's artifact, as the manifest in `folder` says."""
    artifact = Manifest.load(get_manifest_path(folder / row.artifact)).artifact
    if artifact.sha256 != row.artifact_sha256:
        raise BadArtifact(
            f"The report measured another {row.artifact} than the one in {folder}.", hint="Try: make demo"
        )
    return artifact.bytes


def format_cells(row: DriftRow, size: int) -> list[str]:
    top1, drop = row.top1, row.top1_drop
    return [
        *(row.target, row.precision, row.how),
        f"{size / 1e6:.2f}",
        f"{100 * top1.value:.1f} ({100 * top1.low:.1f}–{100 * top1.high:.1f})" if top1 else "–",
        "–" if drop is None else f"{drop:.2f}",
        f"{100 * row.agreement.value:.1f}",
        f"{row.sqnr_db:.1f}",
        f"{row.max_abs_error:.2g}",
        f"{row.mean_kl:.1g}",
    ]


def replace_table(text: str, table: str) -> str:
    """Return `text` with `table` between the two comments."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


if __name__ == "__main__":
    typer.run(main)
