"""What came of a job: its gate's verdict, the exit status, and the JSON of artifacts and drift."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .console import print_note
from .errors import GATE_FAILED

if TYPE_CHECKING:
    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.document import Contract
    from shvit_mobile.contracts.drift_report import GateVerdict
    from shvit_mobile.contracts.drift_row import DriftRow
    from shvit_mobile.drift.gates import Gate


def apply_gate(rows: Iterable[DriftRow], gate: Gate | None) -> GateVerdict | None:
    """The verdict of `gate`; None where there is no gate."""
    if gate is None:
        return None

    from shvit_mobile.drift.gates import evaluate_gate

    return evaluate_gate(rows, gate)


def add_delegation_violations(
    verdict: GateVerdict | None, artifacts: Iterable[Artifact], required: float
) -> GateVerdict | None:
    """The verdict, failed as well where a backend took less of an artifact than `required`, a share of 0 to 1."""
    from shvit_mobile.contracts.drift_report import GateVerdict
    from shvit_mobile.targets.delegation import describe_delegation_shortfall

    found = [sentence for artifact in artifacts for sentence in describe_delegation_shortfall(artifact, required)]
    return (verdict or GateVerdict.from_findings()).extend(found) if found else verdict


def write_outputs(*outputs: tuple[Path | None, str], overwrite: bool) -> None:
    """Write each text to its file, whole or not at all; a file of None is left out."""
    from shvit_mobile.contracts.outputs import write_atomically

    for file, text in outputs:
        if file is not None:
            with write_atomically(file, overwrite=overwrite) as (path,):
                path.write_text(text, newline="")


def print_verdict(verdict: GateVerdict | None, kept: str = "") -> None:
    """Tells the verdict on stderr; ends with status 1 where the gate failed, after `kept`, a word on the files."""
    if verdict is None:
        return
    for sentence in verdict.caveats:
        print_note(f"note: {sentence}")
    for sentence in verdict.violations:
        print_note(f"gate failed: {sentence}")
    if verdict.violations:
        if kept:
            print_note(kept)
        raise typer.Exit(GATE_FAILED)


def to_artifact_json(artifact: Artifact) -> dict[str, Any]:
    """Where an artifact is, and its manifest, drift included."""
    from shvit_mobile.contracts.artifact import get_goldens_path, get_manifest_path, get_recipe_path

    return {
        "path": str(artifact.path),
        "manifest_path": str(get_manifest_path(artifact.path)),
        "recipe_path": str(get_recipe_path(artifact.path)),
        "goldens_path": str(get_goldens_path(artifact.path)),
        "manifest": to_contract_json(artifact.manifest),
    }


def to_contract_json(contract: Contract) -> Any:
    """A contract as plain JSON values; infinities are texts."""
    return json.loads(contract.to_json())


def collect_sizes(artifacts: Sequence[Artifact]) -> dict[str, int]:
    """Bytes by file name."""
    return {artifact.path.name: artifact.manifest.artifact.bytes for artifact in artifacts}
