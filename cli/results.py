"""Prints verdicts, writes outputs, and converts results to JSON values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from shvit_mobile.errors import BaselineFailed

from .console import print_json, print_note
from .errors import GATE_FAILED

if TYPE_CHECKING:
    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.document import Contract
    from shvit_mobile.contracts.drift_report import GateVerdict


def write_outputs(*outputs: tuple[Path | None, str], overwrite: bool) -> None:
    """Write each text to its file, whole or not at all; a file of None is left out."""
    from shvit_mobile.contracts.outputs import write_atomically

    for file, text in outputs:
        if file is not None:
            with write_atomically(file, overwrite=overwrite) as (path,):
                # A file name that is not UTF-8 is escaped.
                path.write_text(text, newline="", encoding="utf-8", errors="backslashreplace")


def print_verdict(verdict: GateVerdict | None, kept: str = "") -> None:
    """Print the verdict on stderr; exit with status 1 after `kept`, a note on the files, if the gate failed."""
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


@contextmanager
def print_failed_baseline(*, as_json: bool) -> Iterator[None]:
    """Print the verdict as JSON, where it is asked for, if the float model fails; the error goes on."""
    try:
        yield
    except BaselineFailed as reason:
        if as_json:
            print_json({"gate": {"passed": False, "violations": [reason.what], "caveats": []}})
        raise


def to_artifact_json(artifact: Artifact) -> dict[str, Any]:
    """Return the paths of an artifact and its manifest."""
    from shvit_mobile.contracts.artifact import get_goldens_path, get_manifest_path, get_recipe_path

    return {
        "path": str(artifact.path),
        "manifest_path": str(get_manifest_path(artifact.path)),
        "recipe_path": str(get_recipe_path(artifact.path)),
        "goldens_path": str(get_goldens_path(artifact.path)),
        "manifest": to_contract_json(artifact.manifest),
    }


def to_contract_json(contract: Contract) -> Any:
    """Return a contract as plain JSON values; infinities are strings."""
    return json.loads(contract.to_json())


def collect_sizes(artifacts: Sequence[Artifact]) -> dict[str, int]:
    """Return the bytes of artifacts by file name."""
    return {artifact.path.name: artifact.manifest.artifact.bytes for artifact in artifacts}
