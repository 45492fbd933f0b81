"""Sets of image files with their classes, from class folders or a CSV of labels, or without labels."""

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
    """Image files in a fixed order, with or without labels.

    Attributes:
        root: The folder that contains all files; reports name files relative to it.
        files: The image files.
        labels: The class index of each file; None without labels.
        classes: The class names: the model's labels if they were given, otherwise the names that were found; empty
            without labels.
        seed: The seed of a sample; None if the set is not a sample.
    """

    root: Path
    files: tuple[Path, ...]
    labels: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != len(self.files):
            raise BadImages(
                f"There are {len(self.labels)} labels for {len(self.files)} images.", why="Each image has one."
            )

    def __len__(self) -> int:
        return len(self.files)

    def sample(self, count: int, seed: int, *, balanced: bool = True) -> ImageSet:
        """Sample `count` images at random; the sample depends only on `seed` and the file names under `root`.

        A smaller sample with the same seed is the beginning of a larger one.

        Args:
            count: The size of the sample; all images if there are fewer.
            seed: Any integer.
            balanced: Sample all classes equally often, as far as their sizes allow; ignored without labels.

        Raises:
            BadImages: If `count` is below 1.
        """
        if count < 1:
            raise BadImages(
                f"A sample of {count} images was asked for.", why="A sample has at least one image.", parameter="count"
            )
        drawn = sorted(
            range(len(self)),
            key=lambda index: _hash_for_sampling(seed, _get_relative_name(self.files[index], self.root)),
        )
        if balanced and self.labels is not None:
            counts: Counter[int] = Counter()
            turns = {}
            for index in drawn:
                turns[index] = counts[self.labels[index]]
                counts[self.labels[index]] += 1
            drawn.sort(key=turns.__getitem__)  # stable: the random order stays within a turn
        return replace(self.select(drawn[:count]), seed=seed)

    def exclude(self, others: ImageSet) -> ImageSet:
        """Return the images that are not in `others`; the result may be empty."""
        excluded = set(others.files)
        return self.select([index for index, file in enumerate(self.files) if file not in excluded])

    def compute_sha256(self) -> str:
        """Compute the SHA-256 over the SHA-256s of the files, in order; 64 hexadecimal digits.

        Raises:
            BadImages: If a file cannot be read.
        """
        digest = hashlib.sha256()
        for file in self.files:
            try:
                digest.update(bytes.fromhex(compute_sha256(file)))
            except OSError as reason:
                raise BadImages(
                    f"{file} cannot be read: {reason.strerror}.", why="It existed when the images were opened."
                ) from None
        return digest.hexdigest()

    def select(self, indices: Sequence[int]) -> ImageSet:
        """Return the images at `indices`, in that order."""
        labels = None if self.labels is None else tuple(self.labels[index] for index in indices)
        return replace(self, files=tuple(self.files[index] for index in indices), labels=labels)


def open_images(path: AnyPath, *, labels: Sequence[str] | None = None, csv: AnyPath | None = None) -> ImageSet:
    """Open the images in a folder, or a single image.

    - With `csv`: the files it lists, under `path`, with its labels.
    - If all images are in sub-folders: each sub-folder is a class, with all images below it. A single sub-folder that
      contains only folders is entered.
    - Otherwise: all images, also in sub-folders, without labels. If a sub-folder has the name of a class, images beside
      it are an error.

    Names are matched with `labels` as in `ClassNames`, including class indices. If nothing matches because the labels
    are generic ("class 0") or the names are 1000 WordNet ids, and there is a folder for each label, the folders are the
    classes in sorted order, as in torchvision. Without `labels`, the sorted names are the classes.

    Hidden files and folders, `__MACOSX` and files without the suffix of an image are ignored.

    Args:
        path: A folder or an image.
        labels: The labels of the model, in the order of the logits.
        csv: A file with the columns file and label, with or without a header, separated by commas, semicolons or tabs.

    Returns:
        The images, sorted by name; those of a CSV in its order.

    Raises:
        BadImages: If the folder is missing or contains no images, or a name or row is wrong; names the first of them.
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
            f"{_format_count(len(loose), 'image')} in {path} beside the class folders; the first is {loose[0].name}.",
            why=f"The folders {format_list(known)} are named after classes, so each image should be in such a folder.",
            hint="Move the images into the folders of their classes, or elsewhere.",
        )
    if loose or not inside:
        return _build_unlabeled_set(path, [*loose, *(file for files in inside.values() for file in files)])
    return _build_labeled_set(path, inside, names)


def replace_invalid_utf8(name: str) -> str:
    """Replace bytes of a file name that are not UTF-8, which JSON cannot contain, by replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _get_path_kind(path: Path) -> str:
    """Return "file" or "folder"."""
    try:
        if path.is_dir():
            return "folder"
        if path.is_file():
            return "file"
        siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    except (OSError, ValueError) as reason:
        raise BadImages(f"{path} cannot be opened: {getattr(reason, 'strerror', None) or reason}.") from None
    near = get_close_matches(path.name, siblings, n=1)
    raise BadImages(
        f"There is no folder of images at {path}.", hint=f"Did you mean {path.parent / near[0]}?" if near else ""
    )


def _open_single_image(path: Path, csv: Path | None) -> ImageSet:
    if csv is not None:
        raise BadImages(f"{path} is a file.", why="A CSV of labels needs the folder of its files.", parameter="csv")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSet(path.parent, (path,))
    hints = {
        ".csv": "Pass the folder of the images, and this file as `csv`.",
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
    """Enter single folders that an archive adds, and return the innermost with its images by sub-folder."""
    inside = _group_by_subfolder(path)
    while len(inside) == 1 and "" not in inside:
        (lone,) = inside
        deeper = _group_by_subfolder(path / lone)
        if "" in deeper or (names and names.find(lone)):
            break
        path, inside = path / lone, deeper
    return path, inside


def _group_by_subfolder(path: Path) -> dict[str, list[Path]]:
    """Return the images by the name of their sub-folder of `path` ("" for none); at least one image."""
    images: dict[str, list[Path]] = {}
    others: Counter[str] = Counter()
    try:
        children = sorted(child for child in path.iterdir() if not _is_ignored(child.name))
        for child in children:
            for file in _iterate_files(child) if child.is_dir() else [child]:
                if file.suffix.lower() not in IMAGE_SUFFIXES:
                    others[file.suffix.lower() or "no suffix"] += 1
                elif file.is_file():
                    images.setdefault(child.name if child.is_dir() else "", []).append(file)
    except OSError as reason:
        raise BadImages(f"{reason.filename or path} cannot be read: {reason.strerror}.") from None
    if not images:
        raise _build_no_images_error(path, others)
    return images


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
        return BadImages(f"{path} is empty.", why="It should contain images, or one folder of images for each class.")
    foreign = {".heic", ".heif", ".avif", ".jp2", ".dng", ".cr2", ".nef", ".svg"} & others.keys()
    listed = ", ".join(f"{count} with {suffix}" for suffix, count in Counter(others).most_common(3))
    return BadImages(
        f"There is no image in {path}; it contains {listed}.",
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
    """Return the class index of each folder."""
    matches = {name: names.find(name) for name in folders}
    if names.match_only_by_order(matches) and len(matches) == len(names.labels):
        return {name: index for index, name in enumerate(sorted(matches))}
    wrong = [name for name, indices in matches.items() if len(indices) != 1]
    if wrong:
        raise BadImages(
            f"In {path}, {len(wrong)} of {_format_count(len(matches), 'folder')} cannot be matched with a class of the "
            f"model: {format_list(wrong, names.describe_mismatch)}.",
            why=names.describe_classes(),
            hint=f"If these are images without labels, pass {path / wrong[0]} itself."
            if len(matches) == 1
            else "Rename the folders to the model's class names or indices, or use a CSV of labels.",
        )
    indices = {name: index for name, (index,) in matches.items()}
    for index, count in Counter(indices.values()).items():
        if count > 1:
            same = [name for name in indices if indices[name] == index]
            raise BadImages(
                f"In {path} the folders {format_list(same, repr)} are all class {index}, '{names.labels[index]}'.",
                why="Each class has one folder.",
                hint="Merge them, or rename those of another class.",
            )
    return indices


def _open_csv_set(path: Path, csv: Path, names: ClassNames | None) -> ImageSet:
    """Open the files that a CSV lists."""
    rows = read_label_rows(csv)
    if names is None:
        names = ClassNames(_sort_names({row.label for row in rows}), indices=False)
    row_numbers: dict[Path, int] = {}
    faults: list[tuple[LabelRow, str]] = []
    for row in rows:
        file = path / row.file
        if file in row_numbers:
            faults.append((row, f"{row.file} is also in row {row_numbers[file]}"))
        elif row.file.is_absolute() or ".." in row.file.parts:
            faults.append((row, f"{row.file} is not a file under {path}"))
        elif not os.path.isfile(file):  # unlike Path.is_file, it accepts any name
            faults.append((row, f"there is no {row.file}"))
        elif len(names.find(row.label)) != 1:
            faults.append((row, ""))
        row_numbers.setdefault(file, row.number)
    if faults:
        listed = format_list(faults, lambda fault: _describe_fault(*fault, names), separator="; ")
        raise BadImages(
            f"{len(faults)} of {_format_count(len(rows), 'row')} in {csv} cannot be used: {listed}.",
            why=f"Each row is a file in {path} and its class. {names.describe_classes()}",
            hint="Correct or remove these rows.",
        )
    files = tuple(path / row.file for row in rows)
    return ImageSet(path, files, tuple(names.find(row.label)[0] for row in rows), names.labels)


def _describe_fault(row: LabelRow, fault: str, names: ClassNames) -> str:
    """Describe the fault of a row; if empty, its label, whose closest match is slow to find."""
    fault = fault or f"{names.describe_mismatch(row.label)} cannot be matched with a class of the model"
    return f"row {row.number}: {fault}"


def _sort_names(names: Iterable[str]) -> tuple[str, ...]:
    """Sort names by number if all are numbers, so that 10 comes after 9; otherwise as torchvision does."""
    listed = sorted(set(names))
    numbers = all(name.isascii() and name.isdigit() for name in listed)
    return tuple(sorted(listed, key=int) if numbers else listed)


def _get_relative_name(file: Path, root: Path) -> str:
    """Return the name of a file under `root`, in one Unicode form, since macOS may decompose accents."""
    return normalize("NFC", file.relative_to(root).as_posix())


def _hash_for_sampling(seed: int, name: str) -> bytes:
    """Return a random number for a name, so that samples do not depend on an order or a library's generator."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest()


def _format_suffixes() -> str:
    return ", ".join(sorted(IMAGE_SUFFIXES))


def _format_count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
