"""Reading of tables of labels: CSV files of any usual layout, Kaggle's predictions, and lists such as val.txt."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from shvit_mobile.contracts.files import read_text
from shvit_mobile.errors import BadImages
from shvit_mobile.images.listing import is_picture_name

# Names of columns without spaces, underscores, hyphens and case; the first that is there counts.
_FILE_HEADERS = (
    *("file", "filename", "filepath", "path", "imagepath", "imagefile", "imagefilename", "imagename", "image", "img"),
    *("imgpath", "imgname", "fname", "relativepath", "relpath", "imageid", "imgid", "photo", "picture", "url", "uri"),
    *("files", "images", "filenames", "photoid", "id", "name", "key"),
)
_LABEL_HEADERS = (
    *(
        "label",
        "labels",
        "class",
        "classname",
        "classlabel",
        "category",
        "categoryname",
        "target",
        "targets",
        "species",
    ),
    *("predictionstring", "synset", "wnid", "wordnetid", "labelname", "classindex", "classid", "classidx", "labelid"),
    *("labelindex", "labelidx", "categoryid", "groundtruth", "groundtruthlabel", "gt", "breed", "tag", "y", "index"),
)
# A class and a box, or several: Kaggle's way to write a prediction.
_BOX = re.compile(r"(\S+)((?: -?\d+(?:\.\d+)?){4})(?: |$)", re.ASCII)
_FLOAT_INDEX = re.compile(r"\d{1,9}\.0+", re.ASCII)
_MAX_ROWS = 5_000_000
# Enough rows to see which column holds files.
_SAMPLE = 50


class LabelRow(NamedTuple):
    """The row of one image.

    Attributes:
        number: The line number, from 1.
        file: The file as written, with forward slashes.
        label: The label as written, without surrounding spaces.
        others: What the columns say that have a label's name too and are not used.
    """

    number: int
    file: str
    label: str
    others: tuple[str, ...] = ()


def read_label_rows(
    path: Path, is_file: Callable[[str], bool], is_label: Callable[[str], bool] = lambda _: False
) -> list[LabelRow]:
    """Read the rows of a table of labels, at least one.

    Cells are separated by commas, semicolons, tabs or bars; in a file without them, by the last space of each line.
    Columns are found by the names in the first row, if it is a header, and by what they contain.

    Args:
        path: The table.
        is_file: Whether a cell names an image.
        is_label: Whether a cell names a class; indices do not count.

    Raises:
        BadImages: If the file cannot be read or is not such a table, or a row lacks a file or a label.
    """
    table = _read_cells(path)
    if not table:
        raise BadImages(f"{path} has no rows.", why="Each row should be a file and its label.", parameter="labels_csv")
    columns = _find_columns(path, [cells for _, cells in table[: _SAMPLE + 1]], is_file, is_label)
    file_column, label_column = columns.file, columns.label
    rows = []
    for number, cells in table[columns.header_rows :]:
        if len(cells) <= max(file_column, label_column) or not (cells[file_column] and cells[label_column]):
            raise BadImages(
                f"Row {number} of {path} lacks a file or a label: {', '.join(cells)[:200]}.",
                why="Each row should be a file and its label, separated by a comma, a semicolon, a tab or a space.",
                parameter="labels_csv",
            )
        others = tuple(cells[column] for column in columns.others if column < len(cells))
        rows.append(LabelRow(number, cells[file_column].replace("\\", "/"), cells[label_column], others))
    if not rows:
        raise BadImages(
            f"{path} has a header and no rows.", why="Each row should be a file and its label.", parameter="labels_csv"
        )
    if all(_FLOAT_INDEX.fullmatch(row.label) for row in rows):  # as pandas writes indices beside empty cells
        return [row._replace(label=row.label.partition(".")[0]) for row in rows]
    return [row._replace(label=_read_class_of_boxes(row.label)) for row in rows] if _has_boxes(rows) else rows


class _Columns(NamedTuple):
    file: int
    label: int
    header_rows: int
    others: tuple[int, ...] = ()


def _read_cells(path: Path) -> list[tuple[int, list[str]]]:
    """Read the cells of each row that is not blank, with the number of its last line."""
    what = "a table of labels"
    text = read_text(path, limit=1 << 30, error=BadImages, what=what, parameter="labels_csv")
    if "\0" in text:
        raise BadImages(
            f"{path} is not {what}: it is not text.", why="It should be UTF-8 text.", parameter="labels_csv"
        )
    separator = _find_separator(text)
    table: list[tuple[int, list[str]]] = []
    try:
        if separator is None:
            lines = re.split(r"\r\n|\n|\r", text)
            table = [(number, line.strip().rsplit(None, 1)) for number, line in enumerate(lines, 1) if line.strip()]
        else:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    table.append((reader.line_num, cells))
    except csv.Error as reason:
        raise BadImages(
            f"{path} is not {what}: {reason}.", why="A quote may not be closed.", parameter="labels_csv"
        ) from None
    if len(table) > _MAX_ROWS:
        raise BadImages(
            f"{path} has {len(table):,} rows.", why=f"At most {_MAX_ROWS:,} are read.", parameter="labels_csv"
        )
    return table


def _find_separator(text: str) -> str | None:
    """Return the separator of the cells; None for spaces.

    It is the one after which the first line has a cell that looks like a file or a header, or the most frequent one.
    """
    first = re.split(r"[\r\n]", text.lstrip("\r\n \t"), maxsplit=1)[0]
    found = [separator for separator in ",;\t|" if separator in first]
    known = [s for s in found if any(is_picture_name(c) or _fold(c) in _FILE_HEADERS for c in _split(first, s))]
    return max(known or found, key=first.count, default=None)


def _split(line: str, separator: str) -> list[str]:
    return [cell.strip(' "') for cell in line.split(separator)]


def _find_columns(
    path: Path, sample: Sequence[Sequence[str]], is_file: Callable[[str], bool], is_label: Callable[[str], bool]
) -> _Columns:
    """Return the columns of file and label, and the number of header rows."""
    first, rest = sample[0], sample[1:]
    width = len(first)
    words = [_fold(cell) for cell in first]
    named_files = [words.index(word) for word in _FILE_HEADERS if word in words]
    named_labels = [words.index(word) for word in _LABEL_HEADERS if word in words]

    def count(column: int, test: Callable[[str], bool], rows: Sequence[Sequence[str]]) -> int:
        return sum(len(cells) > column and test(cells[column]) for cells in rows)

    by_content = max(range(width), key=lambda column: count(column, is_file, rest), default=0)
    files_below = count(by_content, is_file, rest)
    is_data = any(is_file(cell) or is_picture_name(cell) for cell in first)
    repeated = any(len(cells) > column and cells[column] == cell for cells in rest for column, cell in enumerate(first))
    unknown = not repeated and not any(is_label(cell) for cell in first)
    header = not is_data and bool(named_files or named_labels or (files_below and unknown))
    if header and named_files:
        fitting = [column for column in named_files if count(column, is_file, rest)]
        file = (fitting or ([by_content] if files_below else named_files))[0]
    elif header and not files_below:
        file = 1 - named_labels[0] if width == 2 else -1
    elif header or files_below or any(map(is_file, first)):
        file = max(range(width), key=lambda column: count(column, is_file, sample))
    else:
        file = next((column for column, cell in enumerate(first) if is_picture_name(cell)), 0)
    others = [column for column in range(width) if column != file]
    named = [column for column in named_labels if column != file] if header else []
    rows = rest if header else sample
    fitting = [column for column in named or others if count(column, is_label, rows) == len(rows) > 0]
    if file >= 0 and (fitting or named or len(others) == 1):
        label = (fitting or named or others)[0]
        return _Columns(file, label, int(header), tuple(column for column in named if column != label))
    if not header and file >= 0:
        return _Columns(file, others[0] if others else 1, 0)
    raise BadImages(
        f"{path} has the columns {', '.join(first)[:200]}.",
        why="It is not clear which is the file and which is the label.",
        hint="Name them 'file' and 'label'.",
        parameter="labels_csv",
    )


def _fold(cell: str) -> str:
    return re.sub(r"[\s_-]+", "", cell.casefold())


def _has_boxes(rows: Sequence[LabelRow]) -> bool:
    """Return whether the labels are classes with boxes: "n02017213 115 49 448 294"."""
    return all(_BOX.match(row.label) for row in rows[:_SAMPLE])


def _read_class_of_boxes(label: str) -> str:
    """Return the class of one or several boxes; the label itself if they are of several classes, or none."""
    boxes = _BOX.findall(label)
    classes = {name for name, _ in boxes}
    whole = sum(len(name) + len(box) + 1 for name, box in boxes) >= len(label.strip())
    return classes.pop() if len(classes) == 1 and whole else label
