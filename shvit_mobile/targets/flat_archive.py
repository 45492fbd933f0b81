"""Read and write the archive in which ExecuTorch's Core ML delegate carries a folder.

The contents of the files come first, one behind the other. At the end is a directory: JSON, written backwards, so that
a reader that starts at the end needs no offset. It lists files and folders, children before parents and the root last.
Format: `backends/apple/coreml/runtime/inmemoryfs` of ExecuTorch 1.4.1, whose own reader takes what this module writes.
"""

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

_FILE, _FOLDER = 0, 1
_MAX_DIRECTORY_BYTES = 1 << 20
_NAME = re.compile(r"[\w.+@ -]{1,255}", re.ASCII)


class DamagedArchiveError(Exception):
    """An archive without a directory, or whose directory contradicts itself or the bytes before it."""


def write_archive(root: str, files: Mapping[str, bytes]) -> bytes:
    """Return an archive of files; the same files give the same bytes, in any order.

    Args:
        root: The name of the folder that contains them.
        files: Their contents by their paths in that folder, with slashes.
    """
    contents, nodes = bytearray(), list[dict[str, Any]]()

    def add_node(name: str, kind: int, size: int = 0, children: Mapping[str, int] | None = None) -> int:
        region = {"offset": len(contents) if kind == _FILE else 0, "size": size}
        nodes.append({"children": dict(children or {}), "dataRegion": region, "kind": kind, "name": name})
        return len(nodes) - 1

    def add_folder(name: str, inside: Mapping[PurePosixPath, bytes]) -> int:
        children = {}
        for child in sorted({path.parts[0] for path in inside}):
            if (content := inside.get(PurePosixPath(child))) is not None:
                children[child] = add_node(child, _FILE, len(content))
                contents.extend(content)
            else:
                below = {path.relative_to(child): data for path, data in inside.items() if path.parts[0] == child}
                children[child] = add_folder(child, below)
        return add_node(name, _FOLDER, children=children)

    add_folder(root, {PurePosixPath(name): content for name, content in files.items()})
    directory = json.dumps({"nodes": nodes}, separators=(",", ":"), sort_keys=True)
    return bytes(contents) + directory.encode()[::-1]


def read_archive(data: bytes) -> dict[str, bytes]:
    """Return the files of an archive by their paths in its root, with slashes.

    Raises:
        DamagedArchiveError: If there is no directory; if a name could lead out of the folder; if a folder contains
            itself, a file or folder is in two places, or a file is outside the archive.
    """
    # Latin-1 has a character for each byte: where the directory ends is only known once it is parsed.
    text = data[-_MAX_DIRECTORY_BYTES:][::-1].decode("latin-1").lstrip("\0")
    try:
        nodes = json.JSONDecoder().raw_decode(text)[0]["nodes"]
        return dict(_list_files(data, nodes))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as reason:
        raise DamagedArchiveError("its directory cannot be read") from reason


def _list_files(data: bytes, nodes: list[dict[str, Any]]) -> list[tuple[str, bytes]]:
    """Return the path and the content of each file below the last node."""
    files, seen = list[tuple[str, bytes]](), set[int]()

    def visit(index: int, path: str) -> None:
        node = nodes[index]
        if node["kind"] == _FILE:
            begin, size = node["dataRegion"]["offset"], node["dataRegion"]["size"]
            if not 0 <= begin <= begin + size <= len(data):
                raise DamagedArchiveError(f"{path} is outside the archive")
            files.append((path, data[begin : begin + size]))
            if sum(len(content) for _, content in files) > len(data):
                raise DamagedArchiveError("its files are larger than the archive")
            return
        for name, child in node["children"].items():
            if not _NAME.fullmatch(name) or name in (".", ".."):
                raise DamagedArchiveError(f"{name!r} is no name of a file")
            # Children come first, so no folder can contain itself.
            if not 0 <= child < index or child in seen or nodes[child]["name"] != name:
                raise DamagedArchiveError(f"{name} is in the wrong place")
            seen.add(child)
            visit(child, f"{path}/{name}" if path else name)

    if not nodes or nodes[-1]["kind"] != _FOLDER:
        raise DamagedArchiveError("it has no root folder")
    visit(len(nodes) - 1, "")
    return files
