"""Finds unguarded uses of types that need a newer iOS, which the Linux compiler does not check.

The interfaces in `stubs/` mark types that are newer than the app's iOS. A use is guarded inside a declaration or block
with an availability check for that version or a newer one, and after such a `guard`. Sources are read line by line, as
`swift format` writes them. Members of marked types are not checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MARKED_TYPE = re.compile(
    r"^@available\(iOS ([\d.]+)[^)]*\)\n(?:public|open) (?:\w+ )*?(?:class|struct|enum|protocol) (\w+)", re.M
)
AVAILABILITY_CHECK = re.compile(r"(@|guard #|if #)available\(iOS ([\d.]+)")

Version = tuple[int, ...]


@dataclass(frozen=True)
class UnguardedUse:
    """A use of a type without an availability check.

    Attributes:
        line: The line, from 1.
        name: The type.
        system: The version of iOS that it needs, such as "17.4".
    """

    line: int
    name: str
    system: str


def find_marked_types(stubs: Path) -> dict[str, str]:
    """Return the marked types in a folder of interfaces, with the version of iOS that they need."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(stubs.glob("*.swift*")))
    return {name: system for text in texts for system, name in MARKED_TYPE.findall(text)}


def find_unguarded(source: str, types: Mapping[str, str]) -> Iterator[UnguardedUse]:
    """Yield the unguarded uses of marked types in a source, by line.

    Args:
        source: The text of a Swift source.
        types: The result of `find_marked_types`.
    """
    # The guaranteed version of each open block, by depth; a guard applies to the rest of its block.
    known: dict[int, Version] = {}
    waiting: Version = ()
    depth = 0
    for number, line in enumerate(source.splitlines(), start=1):
        code = line.partition("//")[0]
        check = AVAILABILITY_CHECK.search(code)
        if check and check[1] != "guard #":
            waiting = parse_version(check[2])
        guaranteed = max((waiting, *known.values()))
        for name, system in types.items():
            if re.search(rf"\b{name}\b", code) and parse_version(system) > guaranteed:
                yield UnguardedUse(number, name, system)
        for brace in re.findall(r"[{}]", code):
            depth += 1 if brace == "{" else -1
            if brace == "{" and waiting:
                known[depth], waiting = waiting, ()
            known = {at: system for at, system in known.items() if at <= depth}
        if check and check[1] == "guard #":
            known[depth] = parse_version(check[2])


def parse_version(text: str) -> Version:
    return tuple(map(int, text.split(".")))
