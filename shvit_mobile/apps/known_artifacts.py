"""Reads the manifests of artifacts, and checks by SHA-256 that device reports measured them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from shvit_mobile.apps.collect import DeviceRun
from shvit_mobile.contracts.artifact import MANIFEST_SUFFIX, find_artifact
from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.files import list_visible_files
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES, Manifest
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadArtifact, BadReport
from shvit_mobile.targets.stored_facts import open_artifact


def open_manifests(paths: Iterable[AnyPath]) -> list[Manifest]:
    """Read the manifests of artifacts, and of all artifacts in folders; artifacts that are present are hashed.

    Raises:
        BadArtifact: If a path contains none; if an artifact is missing, damaged, or not what its manifest says.
    """
    manifests: list[Manifest] = []
    for path in map(Path, paths):
        files = (
            [file for file in list_visible_files(path) if file.name.endswith(MANIFEST_SUFFIX)]
            if path.is_dir() and path.suffix not in TARGET_SUFFIXES.values()
            else [path]
        )
        if not files:
            raise BadArtifact(
                f"{path} contains no manifest of an artifact.",
                why="A device report is joined with an artifact by the SHA-256 in its manifest.",
                hint="Give artifacts, or the folder of an export.",
            )
        manifests += [_read_manifest(file) for file in files]
    return manifests


def _read_manifest(file: Path) -> Manifest:
    """Read a manifest from its file or from its artifact; an artifact that is present is checked."""
    if not file.name.endswith(MANIFEST_SUFFIX):
        return open_artifact(file).manifest
    manifest = Manifest.load(file)
    artifact = find_artifact(file, manifest.target)
    return manifest if artifact is None else open_artifact(artifact).manifest


def check_artifacts(runs: Iterable[DeviceRun], manifests: Sequence[Manifest]) -> None:
    """Raise `BadReport` if a report measured another file with the name of a given artifact, or as `check_sizes`."""
    runs = list(runs)
    check_sizes([(run.source, run.report) for run in runs], manifests)
    known: dict[str, set[str]] = {}
    for manifest in manifests:
        known.setdefault(manifest.artifact.name, set()).add(manifest.artifact.sha256)
    for run in runs:
        for result in run.report.results:
            expected = known.get(result.name)
            if expected is None or result.artifact_sha256 in expected:
                continue
            if result.artifact_sha256 is None:
                raise BadReport(
                    f"{run.source} names {result.name} without its SHA-256.",
                    why="It may have measured another artifact.",
                    hint="Measure again with an app of this version.",
                )
            raise BadReport(
                f"{run.source} measured another {result.name} than the one given.",
                why=f"The SHA-256 in the report is {result.artifact_sha256[:12]}…, the manifest's is "
                f"{' or '.join(sorted(f'{one[:12]}…' for one in expected))}: the app contains another export.",
                hint="Embed the given one and measure again, or give the measured one as `artifacts`.",
            )


def check_sizes(reports: Iterable[tuple[str, DeviceReport]], manifests: Sequence[Manifest]) -> None:
    """Raise `BadReport` if a report, given with its source, states another size of an artifact than its manifest."""
    known = {manifest.artifact.sha256: manifest.artifact.bytes for manifest in manifests}
    for source, report in reports:
        for result in report.results:
            size = known.get(result.artifact_sha256 or "", result.size_bytes)
            if result.size_bytes not in (None, size):
                raise BadReport(
                    f"{source} states {result.size_bytes} bytes for {result.name}, its manifest {size}.",
                    why="The report may be damaged or edited by hand.",
                )
