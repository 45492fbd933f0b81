"""Finds the image that a table of labels means: by its path, without its suffix, or by the end of its path."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from unicodedata import normalize

from shvit_mobile.images.listing import is_picture_name


class FileIndex:
    """The files below a folder, for lookup by the names that tables contain.

    Args:
        root: The folder.
        files: The files relative to it, with forward slashes.
        base: The folder that names with ".." are relative to.
    """

    def __init__(self, root: Path, files: Iterable[str], base: Path) -> None:
        self._root, self._base = f"{os.path.abspath(root)}/", base
        self._by_path = {_normalize(file): file for file in files}

    def find(self, written: str) -> tuple[str, ...]:
        """Return the files that a name may mean: none if there is no such file, several if it is ambiguous.

        A name is a path below the folder; or one that ends with such a path, as with prefixes and in absolute paths; or
        the end of such a path. It may lack the suffix of the image.
        """
        name = _normalize(written)
        if name in self._by_path:
            return (self._by_path[name],)
        if ".." in name and ".." in name.split("/"):
            name = os.path.normpath(os.path.join(os.path.abspath(self._base), name))
            return self.find(name.removeprefix(self._root)) if name.startswith(self._root) else ()
        alike = self._by_name.get(name.rpartition("/")[2], ())
        if len(alike) == 1 and name.endswith(f"/{alike[0][0]}"):  # a table may have a million rows
            return (self._by_path[alike[0][1]],)
        parts = [part for part in name.removeprefix(self._root).split("/") if part not in ("", ".")]
        if not parts:
            return ()
        table = self._by_name if is_picture_name(parts[-1]) else self._by_stem
        overlaps = [(_count_shared(own, parts), path) for own, path in table.get(parts[-1], ())]
        longest = max((count for count, _ in overlaps), default=0)
        return tuple(self._by_path[path] for count, path in overlaps if count == longest > 0)

    def is_known(self, written: str) -> bool:
        """Return whether a name means one file."""
        return len(self.find(written.replace("\\", "/"))) == 1

    @cached_property
    def _by_name(self) -> Mapping[str, list[tuple[str, str]]]:
        """The files by the last part of their paths: each with its path, twice."""
        return _group_by_last_part((path, path) for path in self._by_path)

    @cached_property
    def _by_stem(self) -> Mapping[str, list[tuple[str, str]]]:
        """The files by the last part of their paths without suffix: each with its path without and with suffix."""
        return _group_by_last_part((os.path.splitext(path)[0], path) for path in self._by_path)


def _group_by_last_part(paths: Iterable[tuple[str, str]]) -> Mapping[str, list[tuple[str, str]]]:
    groups = defaultdict[str, list[tuple[str, str]]](list)
    for pair in paths:
        groups[pair[0].rpartition("/")[2]].append(pair)
    return groups


def _normalize(name: str) -> str:
    return name if name.isascii() else normalize("NFC", name)


def _count_shared(path: str, parts: list[str]) -> int:
    """Return the number of parts of the shorter of a path and a name, if the longer ends with it; else 0."""
    own = path.split("/")
    count = min(len(own), len(parts))
    return count if own[-count:] == parts[-count:] else 0
