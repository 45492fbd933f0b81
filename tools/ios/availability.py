"""What only a newer system has, used where nothing has asked for that system: Linux's compiler checks no availability.

The interfaces in `stubs/` mark what is newer than the app's iOS. A use counts as guarded inside a declaration or a
block that names a system at least as new, and after a `guard` that does. Sources are read line by line, as `swift
format` leaves them; members of marked types are not looked for.
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
    """A use that an older system could not make.

    Attributes:
        line: from 1.
        name: of the type.
        system: that it needs, as "17.4".
    """

    line: int
    name: str
    system: str


def find_marked_types(stubs: Path) -> dict[str, str]:
    """The types that the interfaces in a folder mark, with the version of iOS that has them."""
    texts = (path.read_text() for path in sorted(stubs.glob("*.swiftinterface")))
    return {name: system for text in texts for system, name in MARKED_TYPE.findall(text)}


def find_unguarded(source: str, types: Mapping[str, str]) -> Iterator[UnguardedUse]:
    """Each use of marked types in a source that nothing guards, in the order of lines.

    Args:
        types: as `find_marked_types` gives them.
    """
    # By depth, the system that the block there is known to have; of a guard, the rest of its block.
    known: dict[int, Version] = {}
    waiting: Version = ()
    depth = 0
    for number, line in enumerate(source.splitlines(), start=1):
        code = line.partition("//")[0]
        asked = AVAILABILITY_CHECK.search(code)
        if asked and asked[1] != "guard #":
            waiting = parse_version(asked[2])
        has = max((waiting, *known.values()))
        for name, system in types.items():
            if re.search(rf"\b{name}\b", code) and parse_version(system) > has:
                yield UnguardedUse(number, name, system)
        for brace in re.findall(r"[{}]", code):
            depth += 1 if brace == "{" else -1
            if brace == "{" and waiting:
                known[depth], waiting = waiting, ()
            known = {at: system for at, system in known.items() if at <= depth}
        if asked and asked[1] == "guard #":
            known[depth] = parse_version(asked[2])


def parse_version(text: str) -> Version:
    return tuple(map(int, text.split(".")))
