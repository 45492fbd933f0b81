"""The artifacts that device reports are joined with: known by their SHA-256, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from shvit_mobile.apps.collect import DeviceRun
from shvit_mobile.contracts.artifact import Artifact, get_manifest_path
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES, Manifest
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadArtifact, BadReport

MANIFEST_SUFFIX = ".manifest.json"


def open_manifests(paths: Iterable[AnyPath]) -> list[Manifest]:
    """The manifests of some artifacts, and of all artifacts in some folders; where an artifact is there, it is hashed.

    Raises:
        BadArtifact: a path holds none; an artifact is missing, damaged, or not what its manifest says.
    """
    found: list[Manifest] = []
    for path in map(Path, paths):
        files = (
            sorted(path.rglob(f"*{MANIFEST_SUFFIX}"))
            if path.is_dir() and path.suffix not in TARGET_SUFFIXES.values()
            else [path]
        )
        if not files:
            raise BadArtifact(
                f"{path} holds no manifest of an artifact.",
                why="A device report is joined with an artifact by the SHA-256 in its manifest.",
                hint="Give artifacts, or the folder that `shvit-mobile export` wrote.",
            )
        found += [read_manifest(file) for file in files]
    return found


def read_manifest(file: Path) -> Manifest:
    """The manifest in a file, or of an artifact; checked against the artifact where that is there."""
    if not file.name.endswith(MANIFEST_SUFFIX):
        return Artifact.open(file).manifest
    manifest = Manifest.load(file)
    artifact = file.with_name(Path(manifest.artifact.name).name)
    beside = artifact.exists() and get_manifest_path(artifact) == file
    return Artifact.open(artifact).manifest if beside else manifest


def check_artifacts(runs: Iterable[DeviceRun], manifests: Sequence[Manifest]) -> None:
    """Raises `BadReport` where a report measured another file under the name of an artifact that is given."""
    known: dict[str, set[str]] = {}
    for manifest in manifests:
        known.setdefault(manifest.artifact.name, set()).add(manifest.artifact.sha256)
    for run in runs:
        for result in run.report.results:
            right = known.get(result.name)
            if right is None or result.artifact_sha256 in right:
                continue
            if result.artifact_sha256 is None:
                raise BadReport(
                    f"{run.source} names {result.name} without its SHA-256.",
                    why="Nobody can tell whether it measured the artifact that is given.",
                    hint="Measure again with an app of this version.",
                )
            raise BadReport(
                f"{run.source} measured another {result.name} than the one given.",
                why=f"The SHA-256 in the report is {result.artifact_sha256[:12]}…, the manifest's is "
                f"{' or '.join(sorted(f'{one[:12]}…' for one in right))}: the app holds another export of that name.",
                hint="Embed the one given and measure again, or give the one that was measured with --artifacts.",
            )
