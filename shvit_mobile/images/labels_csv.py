"""Reading of CSV files of labels."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from shvit_mobile.errors import BadImages

_FILE_HEADERS = frozenset(
    {"file", "filename", "filepath", "image", "imagename", "imagepath", "imagefile", "path", "img"}
)
_LABEL_HEADERS = frozenset({"label", "labels", "class", "classname", "classindex", "classid", "category", "target"})


@dataclass(frozen=True)
class LabelRow:
    """The row of one image.

    Attributes:
        number: The line number, from 1.
        file: The file as written, with forward slashes.
        label: The label as written, without surrounding spaces.
    """

    number: int
    file: PurePosixPath
    label: str


def read_label_rows(path: Path) -> list[LabelRow]:
    """Read the rows of a CSV file, at least one.

    A first row that contains a word such as "file" or "label" is a header and selects the columns. Without a header,
    the file is in the first column and the label in the second.

    Raises:
        BadImages: If the file cannot be read or is not such a table, or a row lacks a file or a label.
    """
    table = _read_cells(path)
    if not table:
        raise BadImages(f"{path} has no rows.", why="Each row should be a file and its label.")
    file_column, label_column, header = _find_columns(path, table[0][1])
    rows = []
    for number, cells in table[header:]:
        if len(cells) <= max(file_column, label_column) or not (cells[file_column] and cells[label_column]):
            raise BadImages(
                f"Row {number} of {path} lacks a file or a label: {', '.join(cells)}.",
                why="Each row should be a file and its label, separated by a comma, a semicolon or a tab.",
            )
        rows.append(LabelRow(number, PurePosixPath(cells[file_column].replace("\\", "/")), cells[label_column]))
    if not rows:
        raise BadImages(f"{path} has a header and no rows.", why="Each row should be a file and its label.")
    return rows


def _read_cells(path: Path) -> list[tuple[int, list[str]]]:
    """Read the cells of each row that is not blank, with the number of its last line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise BadImages(f"{path} is not a CSV file: it is not text.", why="It should be UTF-8 text.")
        separator = max(",;\t", key=text.lstrip().partition("\n")[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
        rows = ((reader.line_num, [cell.strip() for cell in row]) for row in reader)
        return [(number, cells) for number, cells in rows if any(cells)]
    except OSError as reason:
        raise BadImages(f"{path} cannot be read: {reason.strerror}.", why="It should be a CSV of labels.") from None
    except UnicodeDecodeError:
        raise BadImages(f"{path} is not a CSV file: it is not text.", why="It should be UTF-8 text.") from None
    except csv.Error as reason:
        raise BadImages(f"{path} is not a CSV file: {reason}.", why="A quote may not be closed.") from None


def _find_columns(path: Path, first: list[str]) -> tuple[int, int, int]:
    """Return the columns of file and label, and the number of header rows."""
    words = [re.sub(r"[\s_-]+", "", cell.casefold()) for cell in first]
    file = next((column for column, word in enumerate(words) if word in _FILE_HEADERS), None)
    label = next((column for column, word in enumerate(words) if word in _LABEL_HEADERS), None)
    if file is None and (label is None or "." in first[0]):
        return 0, 1, 0
    if (file is None or label is None) and len(words) == 2:
        file, label = (file, 1 - file) if file is not None else (1 - (label or 0), label)
    if file is None or label is None:
        raise BadImages(
            f"{path} has the columns {', '.join(first)}.",
            why="It is not clear which is the file and which is the label.",
            hint="Name them 'file' and 'label'.",
        )
    return file, label, 1
