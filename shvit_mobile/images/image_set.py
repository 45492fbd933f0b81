"""Which pictures there are, and which class each is of: class folders, a CSV of labels, or no labels at all."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from unicodedata import normalize

from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadImages
from shvit_mobile.images.class_names import ClassNames, format_list
from shvit_mobile.images.decode import IMAGE_SUFFIXES
from shvit_mobile.images.labels_csv import LabelRow, read_label_rows


@dataclass(frozen=True)
class ImageSet:
    """Pictures in a fixed order, with or without labels.

    Attributes:
        root: the folder that the files' names are told from.
        files: the pictures, all under `root`.
        labels: the class index of each file, or None where there are no labels.
        classes: the names that `labels` points into: the model's labels if they were given, else the names found; empty
            where there are no labels.
        seed: of the draw, where they are a sample.
    """

    root: Path
    files: tuple[Path, ...]
    labels: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != len(self.files):
            raise BadImages(f"There are {len(self.labels)} labels for {len(self.files)} images.", why="Each has one.")

    def __len__(self) -> int:
        return len(self.files)

    def sample(self, count: int, seed: int, *, balanced: bool = True) -> ImageSet:
        """`count` of the images, the same on every machine for the same `seed` and the same names under `root`.

        A smaller sample of the same seed is the beginning of a larger one, and classes take turns.

        Args:
            count: how many; all of them, in the order of a sample, where there are no more.
            seed: any integer.
            balanced: as evenly from the classes as their sizes allow; without effect where there are no labels.

        Raises:
            BadImages: `count` is below 1.
        """
        if count < 1:
            raise BadImages(f"A sample of {count} images was asked for.", why="A sample has at least one image.")
        drawn = sorted(
            range(len(self)),
            key=lambda index: _hash_for_sampling(seed, _get_relative_name(self.files[index], self.root)),
        )
        if balanced and self.labels is not None:
            taken: Counter[int] = Counter()
            turns = {}
            for index in drawn:
                turns[index] = taken[self.labels[index]]
                taken[self.labels[index]] += 1
            drawn.sort(key=turns.__getitem__)  # stable: within a turn the order of the lots stays
        return replace(self.select(drawn[:count]), seed=seed)

    def exclude(self, others: ImageSet) -> ImageSet:
        """Those of the images that `others` does not hold, in their order; perhaps none."""
        taken = set(others.files)
        return self.select([index for index, file in enumerate(self.files) if file not in taken])

    def compute_sha256(self) -> str:
        """The SHA-256 over the SHA-256s of the files' bytes, in order; 64 hexadecimal digits.

        Raises:
            BadImages: a file cannot be read.
        """
        digest = hashlib.sha256()
        for file in self.files:
            try:
                digest.update(bytes.fromhex(compute_sha256(file)))
            except OSError as reason:
                raise BadImages(f"{file} cannot be read: {reason.strerror}.", why="It was there before.") from None
        return digest.hexdigest()

    def select(self, indices: Sequence[int]) -> ImageSet:
        """The images at `indices`, in that order."""
        labels = None if self.labels is None else tuple(self.labels[index] for index in indices)
        return replace(self, files=tuple(self.files[index] for index in indices), labels=labels)


def open_images(path: AnyPath, *, labels: Sequence[str] | None = None, csv: AnyPath | None = None) -> ImageSet:
    """The pictures in a folder, or a single one.

    - With `csv`: the files it lists, under `path`, with its labels.
    - Every picture lies in a sub-folder: each sub-folder is a class, however deep its pictures are. A lone sub-folder
      that only holds folders itself is stepped into.
    - Else: all pictures, those in sub-folders too, without labels. But where a sub-folder bears the name of a label,
      pictures beside it are an error.

    Names are matched with `labels` as `ClassNames` says, indices included. Where the names say nothing (labels
    'class 0' and so on, or a thousand WordNet ids) and there are as many folders as labels, the folders are the classes
    in sorted order, as in torchvision. Without `labels` the sorted names are the classes.

    Hidden files and folders, '__MACOSX' and files without a picture's suffix are passed over.

    Args:
        path: a folder or a picture.
        labels: the model's labels, in the order of its logits.
        csv: a file whose columns are file and label, with or without a header, separated by commas, semicolons or tabs.

    Returns:
        the pictures, sorted by name; those of a CSV in its order.

    Raises:
        BadImages: there is no such folder or no picture in it, or a name or row is wrong; names the first of them.
    """
    path, csv = Path(path), None if csv is None else Path(csv)
    if _get_path_kind(path) == "file":
        return _open_single_image(path, csv)
    names = ClassNames(tuple(labels)) if labels else None
    if csv is not None:
        return _open_csv_set(path, csv, names)
    path, inside = _enter_lone_folders(path, names)
    loose = inside.pop("", [])
    known = [name for name in inside if names and names.find(name)]
    if loose and known:
        raise BadImages(
            f"{_format_count(len(loose), 'image')} in {path} beside the class folders, the first is {loose[0].name}.",
            why=f"Folders there are named after classes ({format_list(known)}), so each image should be in such a folder.",
            hint="Move them into the folders of their classes, or elsewhere.",
        )
    if loose or not inside:
        return _build_unlabeled_set(path, [*loose, *(file for files in inside.values() for file in files)])
    return _build_labeled_set(path, inside, names)


def replace_invalid_utf8(name: str) -> str:
    """A file's name as JSON can hold it: bytes in it that are not UTF-8 become replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _get_path_kind(path: Path) -> str:
    """ "file" or "folder"."""
    try:
        if path.is_dir():
            return "folder"
        if path.is_file():
            return "file"
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    except (OSError, ValueError) as reason:
        raise BadImages(f"{path} cannot be opened: {getattr(reason, 'strerror', None) or reason}.") from None
    near = get_close_matches(path.name, beside, n=1)
    raise BadImages(
        f"There is no folder of images at {path}.", hint=f"Did you mean {path.parent / near[0]}?" if near else ""
    )


def _open_single_image(path: Path, csv: Path | None) -> ImageSet:
    if csv is not None:
        raise BadImages(f"{path} is a file.", why="A CSV of labels goes with the folder that its files are in.")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSet(path.parent, (path,))
    hints = {
        ".csv": "Give the folder of the images, and this file as its CSV of labels.",
        ".zip": f"Unpack it first: unzip {path}",
        ".tar": f"Unpack it first: tar -xf {path}",
        ".gz": f"Unpack it first: tar -xf {path}",
    }
    raise BadImages(
        f"{path} is neither a folder nor an image.",
        why=f"Images end in {_format_suffixes()}.",
        hint=hints.get(path.suffix.lower(), ""),
    )


def _enter_lone_folders(path: Path, names: ClassNames | None) -> tuple[Path, dict[str, list[Path]]]:
    """The folder to look at, below any lone ones that an archive wrapped it in, and what `_group_by_subfolder` finds in it."""
    inside = _group_by_subfolder(path)
    while len(inside) == 1 and "" not in inside:
        (lone,) = inside
        deeper = _group_by_subfolder(path / lone)
        if "" in deeper or (names and names.find(lone)):
            break
        path, inside = path / lone, deeper
    return path, inside


def _group_by_subfolder(path: Path) -> dict[str, list[Path]]:
    """The pictures by the name of the sub-folder of `path` that they are under, "" for none; at least one."""
    found: dict[str, list[Path]] = {}
    others: Counter[str] = Counter()
    try:
        children = sorted(child for child in path.iterdir() if not _is_ignored(child.name))
        for child in children:
            for file in _iterate_files(child) if child.is_dir() else [child]:
                if file.suffix.lower() not in IMAGE_SUFFIXES:
                    others[file.suffix.lower() or "no suffix"] += 1
                elif file.is_file():
                    found.setdefault(child.name if child.is_dir() else "", []).append(file)
    except OSError as reason:
        raise BadImages(f"{reason.filename or path} cannot be read: {reason.strerror}.") from None
    if not found:
        raise _build_no_images_error(path, others)
    return found


def _iterate_files(folder: Path) -> Iterable[Path]:
    def stop(reason: OSError) -> None:
        raise reason

    for parent, folders, files in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not _is_ignored(name)]
        yield from (Path(parent, name) for name in files if not _is_ignored(name))


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _build_no_images_error(path: Path, others: Mapping[str, int]) -> BadImages:
    if not others:
        return BadImages(f"{path} is empty.", why="It should hold images, or one folder of images for each class.")
    foreign = {".heic", ".heif", ".avif", ".jp2", ".dng", ".cr2", ".nef", ".svg"} & others.keys()
    listed = ", ".join(f"{count} with {suffix}" for suffix, count in Counter(others).most_common(3))
    return BadImages(
        f"There is no image in {path}; the files there: {listed}.",
        why=f"Images end in {_format_suffixes()}.",
        hint="Convert them to JPEG or PNG first." if foreign else "",
    )


def _build_unlabeled_set(path: Path, files: list[Path]) -> ImageSet:
    return ImageSet(path, tuple(sorted(files, key=lambda file: _get_relative_name(file, path))))


def _build_labeled_set(path: Path, inside: Mapping[str, list[Path]], names: ClassNames | None) -> ImageSet:
    if names is None:
        classes = _sort_names(inside)
        indices = {name: index for index, name in enumerate(classes)}
    else:
        classes, indices = names.labels, _match_folders_to_classes(path, inside, names)
    pairs = [(file, indices[name]) for name, files in inside.items() for file in files]
    pairs.sort(key=lambda pair: _get_relative_name(pair[0], path))
    return ImageSet(path, tuple(file for file, _ in pairs), tuple(index for _, index in pairs), classes)


def _match_folders_to_classes(path: Path, folders: Iterable[str], names: ClassNames) -> dict[str, int]:
    """The class of each folder."""
    found = {name: names.find(name) for name in folders}
    if names.match_only_by_order(found) and len(found) == len(names.labels):
        return {name: index for index, name in enumerate(sorted(found))}
    wrong = [name for name, indices in found.items() if len(indices) != 1]
    if wrong:
        lone = len(found) == 1
        raise BadImages(
            f"In {path}, {len(wrong)} of {_format_count(len(found), 'folder')} cannot be matched with a class of the model: "
            f"{format_list(wrong, names.describe_mismatch)}.",
            why=names.describe_classes(),
            hint=f"If these are images without labels, give {path / next(iter(found))} itself."
            if lone
            else "Rename the folders to the model's class names or indices, or give a CSV of labels.",
        )
    indices = {name: index for name, (index,) in found.items()}
    for index, count in Counter(indices.values()).items():
        if count > 1:
            same = [name for name in indices if indices[name] == index]
            raise BadImages(
                f"In {path} the folders {format_list(same, repr)} are all class {index}, '{names.labels[index]}'.",
                why="Each class has one folder.",
                hint="Merge them, or rename those that are another class.",
            )
    return indices


def _open_csv_set(path: Path, csv: Path, names: ClassNames | None) -> ImageSet:
    """The files that a CSV lists."""
    rows = read_label_rows(csv)
    if names is None:
        names = ClassNames(_sort_names({row.label for row in rows}), indices=False)
    seen: dict[Path, int] = {}
    troubles: list[tuple[LabelRow, str]] = []
    for row in rows:
        file = path / row.file
        if file in seen:
            troubles.append((row, f"{row.file} was in row {seen[file]} already"))
        elif row.file.is_absolute() or ".." in row.file.parts:
            troubles.append((row, f"{row.file} is not a file under {path}"))
        elif not os.path.isfile(file):  # unlike Path.is_file, it takes any name
            troubles.append((row, f"there is no {row.file}"))
        elif len(names.find(row.label)) != 1:
            troubles.append((row, ""))
        seen.setdefault(file, row.number)
    if troubles:
        told = format_list(troubles, lambda trouble: _describe_row(*trouble, names), separator="; ")
        raise BadImages(
            f"{len(troubles)} of {_format_count(len(rows), 'row')} in {csv} cannot be used: {told}.",
            why=f"Each row is a file in {path} and its class. {names.describe_classes()}",
            hint="Correct or remove these rows.",
        )
    files = tuple(path / row.file for row in rows)
    return ImageSet(path, files, tuple(names.find(row.label)[0] for row in rows), names.labels)


def _describe_row(row: LabelRow, trouble: str, names: ClassNames) -> str:
    """What is wrong with a row; with its label, where nothing else is. The nearest label takes a while to find."""
    return f"row {row.number}: " + (
        trouble or f"{names.describe_mismatch(row.label)} cannot be matched with a class of the model"
    )


def _sort_names(names: Iterable[str]) -> tuple[str, ...]:
    """By number where all are numbers, so that 10 comes after 9, else as torchvision sorts."""
    listed = sorted(set(names))
    numbers = all(name.isascii() and name.isdigit() for name in listed)
    return tuple(sorted(listed, key=int) if numbers else listed)


def _get_relative_name(file: Path, root: Path) -> str:
    """A file's name under `root`, the same on every system: macOS may give accents as characters of their own."""
    return normalize("NFC", file.relative_to(root).as_posix())


def _hash_for_sampling(seed: int, name: str) -> bytes:
    """A random number of a name's own, so that a sample depends on no order and no library's generator."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest()


def _format_suffixes() -> str:
    return ", ".join(sorted(IMAGE_SUFFIXES))


def _format_count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
