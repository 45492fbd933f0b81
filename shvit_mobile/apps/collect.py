"""Device reports from wherever they lie: a file, a folder, or the archive that a phone's share sheet makes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from shvit_mobile.apps.consistency import check_result, check_time
from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadReport

LARGEST_BYTES = 64 * 1024**2
LARGEST_ARCHIVE_BYTES = 512 * 1024**2
MOST_ENTRIES = 1000
OTHER_DOCUMENTS = {"manifest", "recipe", "goldens", "drift_report"}


@dataclass(frozen=True)
class Run:
    """A device report and where it came from."""

    source: str
    report: DeviceReport

    @property
    def created(self) -> datetime:
        return datetime.fromisoformat(self.report.created)


def collect(paths: Iterable[AnyPath]) -> list[Run]:
    """Every device report in some files, folders and archives, each once, in the order given.

    In folders and archives the project's other documents are passed by; any other JSON has to be a device report, so
    that a broken one is not overlooked.

    Raises:
        BadReport: a path holds no report; one cannot be read, is too large, or is not of the schema; its figures do not
            follow from its samples; an archive is damaged, too large, or holds a name that leads out of it.
    """
    runs: list[Run] = []
    for path in map(Path, paths):
        found = [run_of(text, source) for text, source in texts(path)]
        if not found:
            raise BadReport(
                f"{path} holds no device report.",
                why="A report is JSON that one of the apps shared, or that `shvit-mobile benchmark --out` wrote.",
            )
        runs += found
    return [run for index, run in enumerate(runs) if run.report not in (other.report for other in runs[:index])]


def run_of(text: str, source: str) -> Run:
    """The report in a text, once all in it agrees with itself."""
    report = DeviceReport.parse_text(text, source, BadReport, "a device report")
    check_time(report, source)
    for result in report.results:
        check_result(result, source)
    return Run(source, report)


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """The text of each report under a path, with its source in words."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and is_json(file.name):
                text = text_of(file)
                if not is_other(text):
                    yield text, str(file)
    elif path.suffix.lower() == ".zip":
        yield from archived(path)
    else:
        yield text_of(path), str(path)


def text_of(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return decoded(opened.read(LARGEST_BYTES + 1), str(file))
    except OSError as reason:
        raise BadReport(
            f"{file} cannot be read: {reason.strerror}.",
            why="It should be a device report, a folder or a .zip of them.",
        ) from None


def archived(path: Path) -> Iterator[tuple[str, str]]:
    """As `texts`, of an archive. Nothing is unpacked to disk, and nothing read past the limits, whatever it claims."""
    left = LARGEST_ARCHIVE_BYTES
    try:
        with ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ENTRIES:
                raise BadReport(
                    f"{path} holds {len(entries)} entries.", why=f"An archive of reports has at most {MOST_ENTRIES}."
                )
            for entry in entries:
                check_inside(entry, path)
            for entry in entries:
                if entry.is_dir() or not is_json(entry.filename):
                    continue
                source = f"{path}: {entry.filename}"
                if entry.flag_bits & 1:
                    raise BadReport(f"{source} is encrypted.", why="Share it without a password.")
                with archive.open(entry) as opened:
                    content = opened.read(min(LARGEST_BYTES, left) + 1)
                left -= len(content)
                if left < 0:
                    raise too_large(str(path), LARGEST_ARCHIVE_BYTES)
                text = decoded(content, source)
                if not is_other(text):
                    yield text, source
    except OSError as reason:
        raise BadReport(
            f"{path} cannot be read: {reason.strerror or reason}.", why="It should be an archive."
        ) from None
    except (BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, ValueError) as reason:
        raise BadReport(f"{path} is not an archive that can be read: {reason}.", why="Share it again.") from None


def check_inside(entry: ZipInfo, path: Path) -> None:
    """Raises `BadReport` for a name that is absolute or climbs, although nothing is unpacked: no app writes one."""
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or (name.parts and name.parts[0].endswith(":")):
        raise BadReport(
            f"{path} holds an entry named {entry.filename!r}, which leads out of the archive.",
            why="No app of this project writes such an archive; nothing in it was read.",
        )


def is_json(name: str) -> bool:
    """Whether a file may be a report: JSON, and none of the files that macOS hides beside others."""
    path = PurePosixPath(name)
    return path.suffix.lower() == ".json" and not path.name.startswith("._")


def is_other(text: str) -> bool:
    """Whether a text is another of the project's documents."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("kind") in OTHER_DOCUMENTS


def decoded(content: bytes, source: str) -> str:
    """UTF-8, with a mark of its order or without."""
    if len(content) > LARGEST_BYTES:
        raise too_large(source, LARGEST_BYTES)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadReport(f"{source} is not a device report: it is not text.", why="It should be JSON.") from None


def too_large(source: str, limit: int) -> BadReport:
    return BadReport(f"{source} is larger than {limit // 1024**2} MB.", why="No device report is.")
