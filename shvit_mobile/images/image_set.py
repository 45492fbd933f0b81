"""Sets of image files with their classes, from class folders or a CSV of labels, or without labels."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from unicodedata import normalize

from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.image_use import ClassMapping, ImageUse, SkippedImages
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.detection.average_precision import TrueBoxes
from shvit_mobile.errors import BadImages
from shvit_mobile.images.accounting import group_skipped, merge_skipped
from shvit_mobile.images.class_names import (
    ClassMatch,
    ClassNames,
    describe_unmatched,
    find_shared_class,
    format_list,
    is_index,
    match_folders,
    match_labels,
)
from shvit_mobile.images.decode import IMAGE_SUFFIXES
from shvit_mobile.images.file_index import FileIndex
from shvit_mobile.images.labels_csv import LabelRow, read_label_rows
from shvit_mobile.images.listing import Listing, list_images

# Folders that hold sets of images and are no classes.
_SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "dev"})


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
        mapping: How folders or the labels of a table became classes; None without the model's labels.
        skipped: The files below `root` that cannot be used.
        found: The number of files below `root`, those among them; None if it is the number of `files`.
        requested: The size of the sample that was asked for; None if the set is not a sample.
        true_boxes: The boxes in each of the files, for detectors; None without them.
    """

    root: Path
    files: tuple[Path, ...]
    labels: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()
    seed: int | None = None
    mapping: ClassMapping | None = None
    skipped: tuple[SkippedImages, ...] = ()
    found: int | None = None
    requested: int | None = None
    true_boxes: Mapping[Path, TrueBoxes] | None = field(default=None, compare=False, repr=False)

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
        whole = self.requested is not None and count >= len(self)  # this is a sample, and all of it is taken
        requested = self.requested if whole else count
        return replace(self.select(drawn[:count]), seed=seed, found=self.count_found(), requested=requested)

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

    def count_found(self) -> int:
        """Return the number of files below `root`, those that cannot be used among them."""
        return len(self) if self.found is None else self.found

    def account(self, undecodable: Sequence[SkippedImages] = ()) -> ImageUse:
        """Return the account of these images, of which some turned out to be undecodable."""
        used = len(self) - sum(group.count for group in undecodable)
        return ImageUse(
            requested=self.requested,
            found=self.count_found(),
            used=used,
            skipped=merge_skipped(undecodable, self.skipped),
        )

    def select(self, indices: Sequence[int]) -> ImageSet:
        """Return the images at `indices`, in that order."""
        labels = None if self.labels is None else tuple(self.labels[index] for index in indices)
        return replace(self, files=tuple(self.files[index] for index in indices), labels=labels)


def open_images(
    path: AnyPath, *, labels: Sequence[str] | None = None, csv: AnyPath | None = None, parameter: str = "path"
) -> ImageSet:
    """Open the images in a folder, or a single image.

    - With `csv`: the files it lists, under `path`, with its labels.
    - If all images are in sub-folders: each sub-folder is a class, with all images below it. A single sub-folder that
      contains only folders is entered.
    - Otherwise: all images, also in sub-folders, without labels. If a sub-folder has the name of a class, images beside
      it are an error.

    Folders become classes by the first rule that fits all of them: the names in `labels`, as in `ClassNames`; synsets
    of ImageNet; class indices, if they are exactly 0 to n-1, or 1 to n; sorted order, as in torchvision, if the labels
    are generic ("class 0") and each has a folder. `ImageSet.mapping` says which. Without `labels`, the sorted names are
    the classes. The labels in a CSV are matched in the same way; its indices may be a part of 0 to n-1.

    Links are followed. Hidden files and folders and `__MACOSX` are ignored; other files that cannot be used are counted
    in `ImageSet.skipped`.

    Args:
        path: A folder or an image.
        labels: The labels of the model, in the order of the logits.
        csv: A table of files and labels, with or without a header, separated by commas, semicolons, tabs or spaces. A
            file is a path below `path`, with or without its suffix, or one that ends like it.
        parameter: The caller's name of `path`, for errors.

    Returns:
        The images, sorted by name; those of a CSV in its order.

    Raises:
        BadImages: If the folder is missing or contains no images, most of them cannot be used, or a name or row is
            wrong; names the first of them.
    """
    path, csv = Path(path), None if csv is None else Path(csv)
    if _get_path_kind(path) == "file":
        return _open_single_image(path, csv)
    names = ClassNames(tuple(labels)) if labels else None
    if csv is not None:
        return _open_csv_set(path, csv, names)
    listing = list_images(path)
    listing.check_usable()
    listing = _enter_lone_folders(listing, names)
    path, inside = listing.root, listing.group_by_folder()
    loose = inside.pop("", [])
    known = [name for name in inside if names and names.find(name)]
    if loose and known:
        raise BadImages(
            f"{_format_count(len(loose), 'image')} in {path} beside the class folders; the first is {loose[0]}.",
            why=f"The folders {format_list(known)} are named after classes, so each image should be in such a folder.",
            hint="Move the images into the folders of their classes, or elsewhere.",
        )
    _check_no_splits(path, inside, known, parameter)
    if loose or not inside:
        return _build_set(listing, [(name, None) for name in listing.files])
    return _build_labeled_set(listing, inside, names)


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
        raise BadImages(
            f"{path} is a file.", why="A CSV of labels needs the folder of its files.", parameter="labels_csv"
        )
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageSet(path.parent, (path,))
    hints = {
        ".csv": "Pass the folder of the images, and this file as `labels_csv`.",
        ".zip": f"Unpack it first: unzip {path}",
        ".tar": f"Unpack it first: tar -xf {path}",
        ".gz": f"Unpack it first: tar -xf {path}",
    }
    raise BadImages(
        f"{path} is neither a folder nor an image.",
        why=f"Images end in {_format_suffixes()}.",
        hint=hints.get(path.suffix.lower(), ""),
    )


def _enter_lone_folders(listing: Listing, names: ClassNames | None) -> Listing:
    """Enter single folders that an archive adds."""
    while True:
        (lone, *others) = listing.group_by_folder() or [""]
        if others or not lone or (names and names.find(lone)):
            return listing
        deeper = listing.enter(lone)
        if "" in deeper.group_by_folder():
            return listing
        listing = deeper


def _check_no_splits(path: Path, inside: Iterable[str], known: Collection[str], parameter: str) -> None:
    """Raise `BadImages` for a folder that holds training and validation images, which nobody means as one set."""
    splits = [name for name in inside if name.lower() in _SPLIT_NAMES and name not in known]
    if len(splits) < 2:
        return
    wanted = "val" if parameter == "validation" else "train"
    chosen = next((name for name in splits if name.lower().startswith(wanted)), splits[0])
    raise BadImages(
        f"{path} contains the folders {format_list(splits, repr)}, which are sets of images and no classes.",
        why="Training images would be mixed with others.",
        hint=f"Give one of them: `{parameter}={path / chosen}`",
        parameter=parameter,
    )


def _build_set(
    listing: Listing,
    pairs: Iterable[tuple[str, int | None]],
    classes: tuple[str, ...] = (),
    mapping: ClassMapping | None = None,
) -> ImageSet:
    """Return files of a listing, with their classes if they have any, sorted by name."""
    ordered = sorted(pairs, key=lambda pair: normalize("NFC", pair[0]))
    labels = tuple(label for _, label in ordered if label is not None)
    return ImageSet(
        listing.root,
        tuple(listing.root / name for name, _ in ordered),
        labels if classes else None,
        classes,
        mapping=mapping,
        skipped=listing.summarize_skipped(),
        found=len(listing.files) + len(listing.skipped),
    )


def _build_labeled_set(listing: Listing, inside: Mapping[str, list[str]], names: ClassNames | None) -> ImageSet:
    if names is None:
        classes, mapping = _sort_names(inside), None
        indices: Mapping[str, int] = {name: index for index, name in enumerate(classes)}
    else:
        classes, (indices, mapping) = names.labels, _match_folders(listing, inside, names)
    pairs = [(file, indices[name]) for name, files in inside.items() for file in files]
    return _build_set(listing, pairs, classes, mapping)


def _match_folders(
    listing: Listing, inside: Collection[str], names: ClassNames
) -> tuple[Mapping[str, int], ClassMapping]:
    """Return the class index of each folder; folders without images count where numbers or their order decide."""
    path = listing.root
    match = match_folders(listing.list_subfolders(), names) or match_folders(inside, names)
    if match is None:
        what, why = describe_unmatched(inside, names, "folders")
        numbered = all(map(is_index, inside))
        raise BadImages(
            f"In {path}, {what}.",
            why=why,
            hint=f"If these are images without labels, pass {path / next(iter(inside))} itself."
            if len(inside) == 1
            else "Add an empty folder for each class without images, rename the folders to class names, or use a CSV "
            "of labels: `labels_csv=FILE`."
            if numbered
            else "Rename the folders to the model's class names, or use a CSV of labels: `labels_csv=FILE`.",
        )
    if shared := find_shared_class(match):
        raise BadImages(
            f"In {path} the folders {format_list(shared[1], repr)} are all class {shared[0]}, "
            f"'{names.labels[shared[0]]}'.",
            why="Each class has one folder.",
            hint="Merge them, or rename those of another class.",
        )
    subject = f"The class folders in {path.absolute().name}"
    return match.indices, match.describe(subject, names, used=inside, folders=True)


def _open_csv_set(path: Path, csv: Path, names: ClassNames | None) -> ImageSet:
    """Open the files that a CSV lists."""
    listing = list_images(path)
    index = FileIndex(path, listing.files, csv.parent)
    known = names or ClassNames(())
    rows = read_label_rows(csv, index.is_known, lambda cell: len(known.find(cell)) == 1 or cell in known.synsets)
    if names is None:
        names = ClassNames(_sort_names({row.label for row in rows}))
    listed = len(rows)
    files = [index.find(row.file) for row in rows]
    if all(files) or not set(listing.files).issubset(file for found in files for file in found):
        _check_rows(path, csv, rows, files, listing)
    else:  # the folder holds a part of the images that the table describes
        rows = [row for row, found in zip(rows, files, strict=True) if found]
        files = [found for found in files if found]
        _check_rows(path, csv, rows, files, listing)
    labels = dict.fromkeys(row.label for row in rows)
    match = match_labels(labels, names)
    if match is None:
        what, why = describe_unmatched(labels, names, "labels")
        raise BadImages(f"In {csv}, {what}.", why=why, hint=_name_rows(rows, names), parameter="labels_csv")
    used = [file for (file,) in files]
    unlisted = set(listing.files).difference(used)
    skipped = [(name, reason) for name, reason in listing.skipped if path / name != csv]
    skipped += [(name, f"it is not in {csv.name}") for name in sorted(unlisted)]
    return ImageSet(
        path,
        tuple(path / file for file in used),
        tuple(match.indices[row.label] for row in rows),
        names.labels,
        mapping=_describe_table(csv, rows, listed, match, names) if known.labels else None,
        skipped=group_skipped(skipped),
        found=len(used) + len(skipped),
    )


def _describe_table(
    csv: Path, rows: Sequence[LabelRow], listed: int, match: ClassMatch, names: ClassNames
) -> ClassMapping:
    """Say how the labels of a table became classes, and which of its rows or columns were ignored.

    Args:
        csv: The table.
        rows: The rows of the images that are there.
        listed: The number of rows of the table.
        match: How their labels became classes.
        names: The labels of the model.
    """
    used = dict.fromkeys(row.label for row in rows)
    mapping = match.describe(f"The labels in {csv.name}", names, used=used, folders=False)
    sentences = [mapping.sentence]
    if missing := listed - len(rows):
        sentences.append(f"{missing} of its {_format_count(listed, 'row')} name images that are not there.")
    columns = []
    for cells in zip(*(row.others for row in rows), strict=False):
        if other := match_labels(dict.fromkeys(cells), names):
            columns.append([other.indices[cell] for cell in cells])
    classes = [match.indices[row.label] for row in rows]
    if contradicted := sum(len(set(indices)) > 1 for indices in zip(classes, *columns, strict=True)):
        sentences.append(
            f"In {_format_count(contradicted, 'row')} another column of labels has another class; it is ignored."
        )
    return ClassMapping(rule=mapping.rule, sentence=" ".join(sentences))


def _check_rows(
    path: Path, csv: Path, rows: Sequence[LabelRow], files: Sequence[tuple[str, ...]], listing: Listing
) -> None:
    """Check that each row of a table names one image, which no other row names.

    Raises:
        BadImages: If not; names the first rows.
    """
    reasons, first_rows = dict(listing.skipped), dict[str, int]()
    faults = []
    for row, found in zip(rows, files, strict=True):
        if len(found) != 1:
            fault = (
                reasons.get(row.file) or f"there is no {row.file[:200]}"
                if not found
                else f"{row.file} may be {format_list(found)}"
            )
            faults.append(f"row {row.number}: {fault}")
        elif found[0] in first_rows:
            faults.append(f"row {row.number}: {found[0]} is also in row {first_rows[found[0]]}")
        else:
            first_rows[found[0]] = row.number
    if faults:
        raise BadImages(
            f"{len(faults)} of {_format_count(len(rows), 'row')} in {csv} cannot be used: "
            f"{format_list(faults, separator='; ')}.",
            why=f"Each row is an image in {path} and its class.",
            hint="Correct or remove these rows, or give the folder that holds the images.",
            parameter="labels_csv",
        )


def _name_rows(rows: Sequence[LabelRow], names: ClassNames) -> str:
    """Return where labels are that match no class by name, as a hint."""
    wrong = [row for row in rows if len(names.find(row.label)) != 1]
    return f"Correct {format_list(wrong, lambda row: f'row {row.number}')}." if wrong else ""


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
