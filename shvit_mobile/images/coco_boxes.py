"""Opens the pictures of a COCO annotation file with their boxes, for detectors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shvit_mobile.contracts.files import read_json
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.detection.average_precision import TrueBoxes, check_pycocotools
from shvit_mobile.errors import BadImages
from shvit_mobile.images.accounting import group_skipped
from shvit_mobile.images.class_names import ClassMatch, ClassNames, format_list
from shvit_mobile.images.file_index import FileIndex
from shvit_mobile.images.image_set import ImageSet
from shvit_mobile.images.listing import Listing, list_images

_WHAT = "a COCO annotation file"
_PARAMETER = "labels_coco"
# COCO's own largest file, instances_train2017.json, has 450 MB.
_MAX_BYTES = 1 << 30
_FORM = (
    'It is JSON with "images" (id, file_name), "annotations" (image_id, category_id, bbox) and "categories" (id, name).'
)


@dataclass(frozen=True)
class _Annotation:
    """A box: left, top, width and height in pixels, the name of its category, and whether it stands for a crowd."""

    bbox: tuple[float, float, float, float]
    category: str
    is_crowd: bool


@dataclass(frozen=True)
class _Picture:
    """An entry of the file: its name, (height, width) if it says so, and its boxes."""

    name: str
    size: tuple[int, int] | None
    boxes: list[_Annotation]


def open_coco_images(folder: AnyPath, file: AnyPath, labels: Sequence[str]) -> ImageSet:
    """Open the pictures that a COCO annotation file lists, with their boxes.

    Categories are matched with the labels by name, as in `ClassNames`; those without boxes may be unknown. A picture
    without annotations has no boxes. Pictures in the folder that the file does not list are counted as skipped.

    Args:
        folder: The folder that file names are relative to.
        file: The annotation file.
        labels: The labels of the model, in the order of its classes.

    Returns:
        The pictures in the order of the file, with `true_boxes`.

    Raises:
        BadImages: If the file is no COCO annotation file, has no boxes, or lists a picture that is not in the folder;
            if a category is unknown or a box is none.
        ToolMissing: If pycocotools is not installed.
    """
    check_pycocotools()
    folder, file = Path(folder), Path(file)
    pictures = _parse(read_json(file, limit=_MAX_BYTES, error=BadImages, what=_WHAT, parameter=_PARAMETER), file)
    if not folder.is_dir():
        raise BadImages(f"There is no folder of images at {folder}.", why=f"{file.name} lists its pictures.")
    used = dict.fromkeys(box.category for picture in pictures for box in picture.boxes if not box.is_crowd)
    if not used:
        raise BadImages(
            f"There are no boxes in {file}.", why="Without a box there is no average precision.", parameter=_PARAMETER
        )
    names = ClassNames(tuple(labels))
    match = _match_categories(list(dict.fromkeys(box.category for one in pictures for box in one.boxes)), names, file)
    listing = list_images(folder)
    files = _find_files(pictures, listing, file)
    unlisted = sorted(set(listing.files).difference(files))
    skipped = [(name, reason) for name, reason in listing.skipped if folder / name != file]
    skipped += [(name, f"it is not in {file.name}") for name in unlisted]
    return ImageSet(
        folder,
        tuple(folder / name for name in files),
        mapping=match.describe(f"The categories in {file.name}", names, used=used, folders=False),
        skipped=group_skipped(skipped),
        found=len(files) + len(skipped),
        true_boxes={
            folder / name: _build_true_boxes(picture, match.indices)
            for name, picture in zip(files, pictures, strict=True)
        },
    )


def _parse(content: Any, file: Path) -> list[_Picture]:
    """Return the pictures of a file with their boxes."""
    if not isinstance(content, dict):
        raise _build_form_error(file, "it is no object")
    categories = {one["id"]: one["name"] for one in _list_entries(content, "categories", file, id=int, name=str)}
    pictures = dict[int, _Picture]()
    for entry in _list_entries(content, "images", file, id=int, file_name=str):
        if entry["id"] in pictures:
            raise _build_form_error(file, f"two images have the id {entry['id']}")
        pictures[entry["id"]] = _Picture(entry["file_name"].replace("\\", "/"), _read_size(entry, file), [])
    for entry in _list_entries(content, "annotations", file, image_id=int, category_id=int, bbox=list):
        name = f"the annotation {entry['id']}" if "id" in entry else "an annotation"
        if entry["image_id"] not in pictures:
            raise _build_form_error(file, f"{name} is of the image {entry['image_id']}, which is not in it")
        if entry["category_id"] not in categories:
            raise _build_form_error(file, f"{name} has the category {entry['category_id']}, which is not in it")
        box = _Annotation(_read_box(entry, name, file), categories[entry["category_id"]], bool(entry.get("iscrowd", 0)))
        pictures[entry["image_id"]].boxes.append(box)
    return list(pictures.values())


def _list_entries(content: Mapping[str, Any], part: str, file: Path, **fields: type) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list of the file, each with these fields."""
    entries = content.get(part)
    if not isinstance(entries, list):
        raise _build_form_error(file, f'it has no list "{part}"')
    for number, entry in enumerate(entries):
        for field, kind in fields.items():
            value = entry.get(field) if isinstance(entry, dict) else None
            if not isinstance(value, kind) or isinstance(value, bool):
                words = {int: "an integer", str: "text", list: "a list"}
                raise _build_form_error(file, f"{part}[{number}] has no {field} that is {words[kind]}")
        yield entry


def _read_size(entry: Mapping[str, Any], file: Path) -> tuple[int, int] | None:
    """Return (height, width) of a picture; None if the file does not say so."""
    height, width = entry.get("height"), entry.get("width")
    if height is None or width is None:
        return None
    if not all(isinstance(side, int) and side > 0 for side in (height, width)):
        raise _build_form_error(file, f"{entry['file_name']} has the width {width} and the height {height}")
    return height, width


def _read_box(entry: Mapping[str, Any], name: str, file: Path) -> tuple[float, float, float, float]:
    values = entry["bbox"]
    numbers = [one for one in values if isinstance(one, int | float) and math.isfinite(one)]
    if len(values) != 4 or len(numbers) != 4 or min(numbers[2:]) <= 0:
        raise _build_form_error(file, f"{name} has the bbox {str(values)[:80]}, and it is left, top, width, height")
    left, top, width, height = map(float, numbers)
    return left, top, width, height


def _match_categories(categories: Sequence[str], names: ClassNames, file: Path) -> ClassMatch:
    """Match categories with the labels of the model, one to one."""
    found = {category: names.find(category) for category in categories}
    wrong = [category for category, indices in found.items() if len(indices) != 1]
    if wrong:
        raise BadImages(
            f"{len(wrong)} of {len(categories)} categories with boxes in {file} are no classes of the model: "
            f"{format_list(wrong, names.describe_mismatch)}.",
            why=names.describe_classes(),
            hint="Correct the names in the file, or give the model's class names in their order: `labels`.",
            parameter=_PARAMETER,
        )
    return ClassMatch("name", {category: index for category, (index,) in found.items()})


def _find_files(pictures: Sequence[_Picture], listing: Listing, file: Path) -> list[str]:
    """Return the file of each picture, relative to the folder."""
    index, reasons = FileIndex(listing.root, listing.files, file.parent), dict(listing.skipped)
    found, seen, faults = list[str](), dict[str, str](), list[str]()
    for picture in pictures:
        names = index.find(picture.name)
        if len(names) != 1:
            missing = reasons.get(picture.name) or "it is not there"
            faults.append(f"{picture.name[:200]}: {f'it may be {format_list(names)}' if names else missing}")
        elif names[0] in seen:
            faults.append(f"{picture.name[:200]}: it is listed twice")
        else:
            seen[names[0]] = picture.name
            found.append(names[0])
    if faults:
        raise BadImages(
            f"{len(faults)} of {len(pictures)} images in {file} cannot be used: {format_list(faults, separator='; ')}.",
            why=f"File names are relative to {listing.root}.",
            hint="Give the folder that holds these pictures, or remove what is missing from the file.",
            parameter=_PARAMETER,
        )
    return found


def _build_true_boxes(picture: _Picture, indices: Mapping[str, int]) -> TrueBoxes:
    boxes = np.array([box.bbox for box in picture.boxes], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return TrueBoxes(
        corners=boxes.astype(np.float32),
        classes=np.array([indices[box.category] for box in picture.boxes], np.int64),
        crowds=np.array([box.is_crowd for box in picture.boxes], np.bool_),
        image_size=picture.size,
    )


def _build_form_error(file: Path, fault: str) -> BadImages:
    return BadImages(f"{file} is not {_WHAT}: {fault}.", why=_FORM, parameter=_PARAMETER)
