"""Finds the image that a table of labels means: by its path, without its suffix, or by the end of its path."""

import os
from collections import defaultdict
from collections.abc import Iterable
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
        self._by_path: dict[str, str] = {}
        self._by_name = defaultdict[str, list[str]](list)
        for file in files:
            path = normalize("NFC", file)
            self._by_path[path] = file
            name = path.rpartition("/")[2]
            self._by_name[name].append(path)
            self._by_name[os.path.splitext(name)[0]].append(path)

    def find(self, written: str) -> tuple[str, ...]:
        """Return the files that a name may mean: none if there is no such file, several if it is ambiguous.

        A name is a path below the folder; or one that ends with such a path, as with prefixes and in absolute paths; or
        the end of such a path. It may lack the suffix of the image.
        """
        name = normalize("NFC", written)
        if name in self._by_path:
            return (self._by_path[name],)
        if ".." in name.split("/"):
            name = os.path.normpath(os.path.join(os.path.abspath(self._base), name))
            return self.find(name.removeprefix(self._root)) if name.startswith(self._root) else ()
        parts = [part for part in name.removeprefix(self._root).split("/") if part not in ("", ".")]
        if not parts:
            return ()
        overlaps = [(_count_shared(path, parts), path) for path in self._by_name.get(parts[-1], ())]
        longest = max((count for count, _ in overlaps), default=0)
        return tuple(self._by_path[path] for count, path in overlaps if count == longest > 0)

    def is_known(self, written: str) -> bool:
        """Return whether a name means one file."""
        return len(self.find(written.replace("\\", "/"))) == 1


def _count_shared(path: str, parts: list[str]) -> int:
    """Return how many parts at their ends a path and a name share, if one of them ends with the other; else 0."""
    own = path.split("/")
    if not is_picture_name(parts[-1]):
        own[-1] = os.path.splitext(own[-1])[0]
    count = min(len(own), len(parts))
    return count if own[-count:] == parts[-count:] else 0
