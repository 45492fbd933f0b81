"""What a reader must know before the figures: files that share a name and no more, figures that cannot be joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.drift_report import DriftReport
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.report import Remark
from shvit_mobile.report.formatting import abbreviate_sha256, join_words, pluralize

# Documents with the names of their files.
NamedDriftReports = Sequence[tuple[str, DriftReport]]
NamedDeviceReports = Sequence[tuple[str, DeviceReport]]


def collect_remarks(
    manifests: Sequence[Manifest], drift: NamedDriftReports, devices: NamedDeviceReports
) -> tuple[Remark, ...]:
    """All of them, the grave ones first."""
    found = [
        *find_name_clashes(manifests),
        *find_hash_mismatches(manifests, drift, devices),
        *find_checkpoint_mismatches(manifests, drift),
        *find_unidentified_rows(drift),
        *find_image_set_differences(drift),
    ]
    return tuple(sorted(dict.fromkeys(found), key=lambda remark: not remark.grave))


def find_name_clashes(manifests: Sequence[Manifest]) -> Iterator[Remark]:
    """Manifests of the same name for different files."""
    for name in dict.fromkeys(manifest.artifact.name for manifest in manifests):
        hashes = list(dict.fromkeys(one.artifact.sha256 for one in manifests if one.artifact.name == name))
        if len(hashes) > 1:
            told = join_words([f"one has SHA-256 {abbreviate_sha256(sha256)}" for sha256 in hashes])
            yield Remark(
                grave=True, sentence=f"{len(hashes)} different files are called {name}: {told}. They are kept apart."
            )


def find_hash_mismatches(
    manifests: Sequence[Manifest], drift: NamedDriftReports, devices: NamedDeviceReports
) -> Iterator[Remark]:
    """Figures of a file that has an artifact's name, and is another."""
    for file, report in drift:
        for row in report.rows:
            yield from compare_with_manifests(manifests, row.artifact, row.artifact_sha256, f"The drift report {file}")
    for file, device in devices:
        where = f"{device.device.name or device.device.model} ({file})"
        for result in device.results:
            yield from compare_with_manifests(manifests, result.name, result.artifact_sha256, where)


def compare_with_manifests(
    manifests: Sequence[Manifest], name: str, sha256: str | None, where: str
) -> Iterator[Remark]:
    """A remark where `sha256` is not that of any manifest of this name."""
    same_name = [one.artifact for one in manifests if name in (one.artifact.name, PurePath(one.artifact.name).stem)]
    if sha256 is not None and same_name and sha256 not in {artifact.sha256 for artifact in same_name}:
        expected = join_words([abbreviate_sha256(artifact.sha256) for artifact in same_name])
        yield Remark(
            grave=True,
            sentence=f"{where} measured another {name}: its SHA-256 is {abbreviate_sha256(sha256)}, the manifest says {expected}. "
            "Its figures are listed under a name of their own and prove nothing of the exported file.",
        )


def find_checkpoint_mismatches(manifests: Sequence[Manifest], drift: NamedDriftReports) -> Iterator[Remark]:
    """Artifacts that were compared with another float model than they were made from."""
    made_from = {one.artifact.sha256: (one.artifact.name, one.model.checkpoint_sha256) for one in manifests}
    for file, report in drift:
        for row in report.rows:
            name, checkpoint = made_from.get(row.artifact_sha256 or "", ("", report.checkpoint.sha256))
            if checkpoint != report.checkpoint.sha256:
                yield Remark(
                    grave=True,
                    sentence=f"{file} compares {name} with the checkpoint {abbreviate_sha256(report.checkpoint.sha256)}, "
                    f"but it was made from {abbreviate_sha256(checkpoint)}.",
                )


def find_unidentified_rows(drift: NamedDriftReports) -> Iterator[Remark]:
    """Rows of artifacts that nobody can identify."""
    for file, report in drift:
        lacking = [row.artifact for row in report.rows if row.how != "simulated" and row.artifact_sha256 is None]
        if lacking:
            yield Remark(
                grave=False,
                sentence=f"{file} does not say which file {join_words(lacking)} "
                f"{'was' if len(lacking) == 1 else 'were'}: without a SHA-256, no figure of it is counted as proof.",
            )


def find_image_set_differences(drift: NamedDriftReports) -> Iterator[Remark]:
    """Drift reports that saw different images."""
    sets = list(dict.fromkeys((one.images.sha256, one.images.source, one.images.count) for _, one in drift))
    if len(sets) > 1:
        told = join_words(
            [f"{pluralize(count, 'image')} of {source} ({abbreviate_sha256(sha256)})" for sha256, source, count in sets]
        )
        yield Remark(
            grave=False,
            sentence=f"The drift reports saw different images: {told}. Each set has a ladder of its own, "
            "since rows are comparable on the same images only.",
        )
