"""Reads device reports from files, folders, and the archives that a phone's share sheet writes."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.files import decode_text, list_visible_files, open_file, parse_json, read_text
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadReport

MAX_REPORT_BYTES = 64 * 1024**2
MAX_ARCHIVE_BYTES = 512 * 1024**2
MAX_ARCHIVE_ENTRIES = 1000
_OTHER_DOCUMENTS = {"manifest", "recipe", "goldens", "drift_report"}


@dataclass(frozen=True)
class DeviceRun:
    """A device report and its source."""

    source: str
    report: DeviceReport


def collect_device_reports(paths: Iterable[AnyPath]) -> list[DeviceRun]:
    """Read every device report in files, folders and archives once, in the order given.

    Other documents of this project are skipped in folders and archives. All other JSON must be a device report, so that
    a damaged one is not overlooked.

    Raises:
        BadReport: If a path contains no report; if a report cannot be read, is too large, violates the schema, or
            contradicts its samples; or if an archive is damaged, too large, or has an entry that leads out of it.
    """
    runs: list[DeviceRun] = []
    for path in map(Path, paths):
        loaded = [DeviceRun(source, DeviceReport.parse(text, source)) for text, source in _iterate_report_texts(path)]
        if not loaded:
            raise BadReport(
                f"{path} contains no device report.",
                why="A report is JSON that one of the apps shared, or that a benchmark wrote.",
            )
        runs += loaded
    return [run for index, run in enumerate(runs) if run.report not in (other.report for other in runs[:index])]


def _iterate_report_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the text of each report under a path, with its source."""
    if path.is_dir():
        for file in list_visible_files(path):
            if _is_json(file.name):
                text = _read_report_text(file)
                if not _is_other_document(text):
                    yield text, str(file)
    elif path.suffix.lower() == ".zip":
        yield from _iterate_archive_texts(path)
    else:
        yield _read_report_text(path), str(path)


def _read_report_text(file: Path) -> str:
    what = "a device report, or a folder or .zip of them"
    return read_text(file, limit=MAX_REPORT_BYTES, error=BadReport, what=what)


def _iterate_archive_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the text of each report in an archive, without unpacking to disk or reading past the limits."""
    left = MAX_ARCHIVE_BYTES
    try:
        with open_file(path, error=BadReport, what="an archive") as file, ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ARCHIVE_ENTRIES:
                raise BadReport(
                    f"{path} has {len(entries)} entries.",
                    why=f"An archive of reports has at most {MAX_ARCHIVE_ENTRIES}.",
                )
            for entry in entries:
                _check_archive_entry(entry, path)
            for entry in entries:
                if entry.is_dir() or not _is_json(entry.filename):
                    continue
                source = f"{path}: {entry.filename}"
                if entry.flag_bits & 1:
                    raise BadReport(f"{source} is encrypted.", why="Share it without a password.")
                with archive.open(entry) as opened:
                    content = opened.read(min(MAX_REPORT_BYTES, left) + 1)
                left -= len(content)
                if left < 0:
                    raise _create_size_error(str(path), MAX_ARCHIVE_BYTES)
                if len(content) > MAX_REPORT_BYTES:
                    raise _create_size_error(source, MAX_REPORT_BYTES)
                text = decode_text(content, source, error=BadReport, what="a device report")
                if not _is_other_document(text):
                    yield text, source
    except OSError as reason:
        raise BadReport(
            f"{path} cannot be read: {reason.strerror or reason}.", why="It should be an archive."
        ) from None
    except (BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, ValueError) as reason:
        raise BadReport(f"{path} is not an archive that can be read: {reason}.", why="Share it again.") from None


def _check_archive_entry(entry: ZipInfo, path: Path) -> None:
    """Raise `BadReport` for an entry whose name is absolute or leads out of the archive."""
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or (name.parts and name.parts[0].endswith(":")):
        raise BadReport(
            f"{path} has an entry named {entry.filename!r}, which leads out of the archive.",
            why="The apps of this project write no such archive. Nothing in it was read.",
        )


def _is_json(name: str) -> bool:
    """Return whether a file may be a report: JSON, and not a hidden file of macOS."""
    path = PurePosixPath(name)
    return path.suffix.lower() == ".json" and not path.name.startswith("._")


def _is_other_document(text: str) -> bool:
    """Return whether a text is another document of this project."""
    try:
        value = parse_json(text, "", error=BadReport, what="")
    except BadReport:
        return False
    return isinstance(value, dict) and value.get("kind") in _OTHER_DOCUMENTS


def _create_size_error(source: str, limit: int) -> BadReport:
    return BadReport(f"{source} is larger than {limit // 1024**2} MB.", why="No device report is that large.")
