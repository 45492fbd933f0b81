"""Finds inconsistencies between inputs: different files of one name, and results that cannot be joined."""

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from shvit_mobile.apps.devices import TIMING_PHRASES, format_compute_unit, get_device_name
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
    """Return all remarks, the grave ones first."""
    found = [
        *_find_name_clashes(manifests),
        *_find_hash_mismatches(manifests, drift, devices),
        *_find_checkpoint_mismatches(manifests, drift),
        *_find_unidentified_rows(drift),
        *_find_image_set_differences(drift),
        *_find_other_timings(devices),
        *_find_failures(devices),
    ]
    return tuple(sorted(dict.fromkeys(found), key=lambda remark: not remark.grave))


def _find_name_clashes(manifests: Sequence[Manifest]) -> Iterator[Remark]:
    """Find different files of the same name."""
    for name in dict.fromkeys(manifest.artifact.name for manifest in manifests):
        hashes = list(dict.fromkeys(one.artifact.sha256 for one in manifests if one.artifact.name == name))
        if len(hashes) > 1:
            listed = join_words([abbreviate_sha256(sha256) for sha256 in hashes])
            yield Remark(
                grave=True,
                sentence=f"{len(hashes)} different files are called {name}; their SHA-256 are {listed}. They are "
                "listed separately.",
            )


def _find_hash_mismatches(
    manifests: Sequence[Manifest], drift: NamedDriftReports, devices: NamedDeviceReports
) -> Iterator[Remark]:
    """Find results of a file that has the name of an artifact and other bytes."""
    for file, report in drift:
        for row in report.rows:
            yield from _compare_with_manifests(manifests, row.artifact, row.artifact_sha256, f"The drift report {file}")
    for file, device in devices:
        where = f"{get_device_name(device)} ({file})"
        for result in device.results:
            yield from _compare_with_manifests(manifests, result.name, result.artifact_sha256, where)


def _compare_with_manifests(
    manifests: Sequence[Manifest], name: str, sha256: str | None, where: str
) -> Iterator[Remark]:
    """Return a remark if no manifest of this name has this `sha256`."""
    same_name = [one.artifact for one in manifests if name in (one.artifact.name, PurePath(one.artifact.name).stem)]
    if sha256 is not None and same_name and sha256 not in {artifact.sha256 for artifact in same_name}:
        expected = join_words([abbreviate_sha256(artifact.sha256) for artifact in same_name])
        yield Remark(
            grave=True,
            sentence=f"{where} measured another {name}: its SHA-256 is {abbreviate_sha256(sha256)}, but the manifest "
            f"has {expected}. Its results are listed separately and do not apply to the exported file.",
        )


def _find_checkpoint_mismatches(manifests: Sequence[Manifest], drift: NamedDriftReports) -> Iterator[Remark]:
    """Find artifacts that were compared with another checkpoint than their own."""
    made_from = {one.artifact.sha256: (one.artifact.name, one.model.checkpoint_sha256) for one in manifests}
    for file, report in drift:
        for row in report.rows:
            name, checkpoint = made_from.get(row.artifact_sha256 or "", ("", report.checkpoint.sha256))
            if checkpoint != report.checkpoint.sha256:
                yield Remark(
                    grave=True,
                    sentence=f"{file} compares {name} with the checkpoint "
                    f"{abbreviate_sha256(report.checkpoint.sha256)}, but it was exported from "
                    f"{abbreviate_sha256(checkpoint)}.",
                )


def _find_unidentified_rows(drift: NamedDriftReports) -> Iterator[Remark]:
    """Find rows without the SHA-256 of their artifact."""
    for file, report in drift:
        lacking = [row.artifact for row in report.rows if row.how != "simulated" and row.artifact_sha256 is None]
        if lacking:
            yield Remark(
                grave=False,
                sentence=f"{file} has no SHA-256 for {join_words(lacking)}, so these rows belong to no known artifact.",
            )


def _find_image_set_differences(drift: NamedDriftReports) -> Iterator[Remark]:
    """Find drift reports that were measured on different images."""
    sets = list(dict.fromkeys((one.images.sha256, one.images.source, one.images.count) for _, one in drift))
    if len(sets) > 1:
        listed = join_words(
            [f"{pluralize(count, 'image')} of {source} ({abbreviate_sha256(sha256)})" for sha256, source, count in sets]
        )
        yield Remark(
            grave=False,
            sentence=f"The drift reports were measured on different images: {listed}. Each set has its own ladder, "
            "because rows are comparable only on the same images.",
        )


def _find_other_timings(devices: NamedDeviceReports) -> Iterator[Remark]:
    """Find reports whose samples cover more than the call of the runtime, beside others."""
    if len({device.timed for _, device in devices}) < 2:
        return
    for file, device in devices:
        if device.timed != "runtime-call":
            yield Remark(
                grave=False,
                sentence=f"{get_device_name(device)} ({file}) is of an app that timed {TIMING_PHRASES[device.timed]}; "
                f"others timed {TIMING_PHRASES['runtime-call']}. Its latencies are not comparable with theirs.",
            )


def _find_failures(devices: NamedDeviceReports) -> Iterator[Remark]:
    """Find what a device could not measure."""
    for file, device in devices:
        for one in device.failures:
            yield Remark(
                grave=False,
                sentence=f"{get_device_name(device)} ({file}) could not measure {one.name} "
                f"({format_compute_unit(device, one)}): {one.error}",
            )
