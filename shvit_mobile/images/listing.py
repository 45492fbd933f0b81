"""Lists the image files under a folder, and what is there besides, following symbolic links."""

import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from shvit_mobile.contracts.image_use import SkippedImages
from shvit_mobile.errors import BadImages
from shvit_mobile.images.accounting import check_majority, group_skipped
from shvit_mobile.images.decode import IMAGE_SUFFIXES, explain_suffix

_IGNORED_NAMES = frozenset({"__macosx", "thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Listing:
    """What is in a folder, without hidden files.

    Attributes:
        root: The folder.
        files: The image files, relative to it, with forward slashes.
        folders: All folders below it, those without images too.
        skipped: The files that cannot be used, each with the reason.
        unusable: How many of `skipped` should have been images.
    """

    root: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    unusable: int

    def enter(self, folder: str) -> "Listing":
        """Return the listing of a sub-folder; what was skipped outside it is kept, named from the new root."""
        prefix = f"{folder}/"

        def cut(names: Iterable[str]) -> tuple[str, ...]:
            return tuple(name.removeprefix(prefix) for name in names if name.startswith(prefix))

        skipped = tuple(
            (name.removeprefix(prefix) if name.startswith(prefix) else f"../{name}", reason)
            for name, reason in self.skipped
        )
        return Listing(self.root / folder, cut(self.files), cut(self.folders), skipped, self.unusable)

    def group_by_folder(self) -> dict[str, list[str]]:
        """Return the images by the first part of their path ("" for those in the folder itself)."""
        groups: dict[str, list[str]] = {}
        for name in self.files:
            folder, separator, _ = name.partition("/")
            groups.setdefault(folder if separator else "", []).append(name)
        return groups

    def list_subfolders(self) -> list[str]:
        """Return the folders directly in this one."""
        return [name for name in self.folders if "/" not in name]

    def summarize_skipped(self) -> tuple[SkippedImages, ...]:
        """Return the skipped files by reason."""
        return group_skipped(self.skipped)

    def check_usable(self) -> None:
        """Check that there are images, and that most pictures can be used.

        Raises:
            BadImages: If there is no image, or more pictures are unusable than usable.
        """
        if not self.files and not self.skipped:
            raise BadImages(
                f"{self.root} is empty.", why="It should contain images, or one folder of images for each class."
            )
        if not self.files and not self.unusable:
            raise _build_no_images_error(self)
        pictures = ((name, reason) for name, reason in self.skipped if (False, reason) != _explain_suffix_of(name))
        check_majority(self.root, len(self.files), group_skipped(pictures))


def list_images(root: Path) -> Listing:
    """List a folder, and those below it; links are followed, as torchvision does, but never in a circle.

    Raises:
        BadImages: If a folder cannot be read.
    """
    listing = _ListingBuilder()
    waiting: list[tuple[Path, str, tuple[tuple[int, int], ...]]] = [(root, "", ())]
    try:
        while waiting:
            folder, prefix, parents = waiting.pop()
            status = folder.stat()
            parents = (*parents, (status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not is_hidden(entry.name) and listing.add(entry, prefix + entry.name, parents):
                        waiting.append((Path(entry.path), f"{prefix}{entry.name}/", parents))
    except OSError as reason:
        raise BadImages(f"{reason.filename or root} cannot be read: {reason.strerror}.") from None
    return listing.build(root)


def is_picture_name(name: str) -> bool:
    """Return whether a file's name ends like that of a picture, also one that cannot be decoded here."""
    return _explain_suffix_of(name)[0]


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is one that systems add."""
    return name.startswith(".") or name.lower() in _IGNORED_NAMES


@dataclass
class _ListingBuilder:
    """A listing in progress."""

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unusable: int = 0

    def add(self, entry: os.DirEntry[str], name: str, parents: tuple[tuple[int, int], ...]) -> bool:
        """Add a file or folder; return whether it is a folder to enter.

        Args:
            entry: What the system says about it.
            name: Its path relative to the root.
            parents: Device and inode of the folders that it lies in.
        """
        is_picture, reason = _explain_suffix_of(name)
        if not entry.is_file(follow_symlinks=False):  # a file is not asked for more
            mode, identity, fault = _follow(entry)
            is_folder = stat.S_ISDIR(mode)
            if is_folder and identity not in parents:
                self.folders.append(name)
                return True
            if is_folder:
                is_picture, fault = True, "it is a link to a folder that it lies in"
            elif not fault and not stat.S_ISREG(mode):
                fault = "it is not a regular file"
            reason = fault or reason
        if reason:
            self.skipped.append((name, reason))
            self.unusable += is_picture
        else:
            self.files.append(name)
        return False

    def build(self, root: Path) -> Listing:
        return Listing(
            root, tuple(sorted(self.files)), tuple(sorted(self.folders)), tuple(sorted(self.skipped)), self.unusable
        )


_explain_suffix = cache(explain_suffix)


def _explain_suffix_of(name: str) -> tuple[bool, str]:
    return _explain_suffix(os.path.splitext(name)[1])


def _follow(entry: os.DirEntry[str]) -> tuple[int, tuple[int, int], str]:
    """Return mode and identity of what an entry leads to, and why it cannot be used."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        return 0, (0, 0), "it is a link to nothing"
    except OSError as reason:
        return 0, (0, 0), f"it is a link that cannot be followed: {reason.strerror}"
    return status.st_mode, (status.st_dev, status.st_ino), ""


def _build_no_images_error(listing: Listing) -> BadImages:
    others = Counter(os.path.splitext(name)[1].lower() or "no suffix" for name, _ in listing.skipped)
    listed = ", ".join(f"{count} with {suffix}" for suffix, count in others.most_common(3))
    return BadImages(
        f"There is no image in {listing.root}; it contains {listed}.",
        why=f"Images end in {', '.join(sorted(IMAGE_SUFFIXES))}.",
    )
