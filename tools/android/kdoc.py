"""Finds public Kotlin declarations without KDoc, by their indentation: the sources are formatted.

Overrides, enumeration entries and companions need none. The KDoc of a class covers the properties in its constructor.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

HIDDEN = {"private", "internal", "protected", "override", "companion"}
CLASSES = {"class", "interface", "object"}
DECLARATION = re.compile(
    r"(?P<indent> *)(?:@\w+ +)*(?P<modifiers>(?:[a-z]+ +)*?)"
    r"(?P<kind>class|(?:fun +)?interface|object|fun|val|var|typealias|constructor|init)\b *(?P<rest>.*)"
)
# What a reader calls a declaration: after type parameters, and after the receiver of an extension.
NAME = re.compile(r"(?:<[^>]*> *)?(?:[\w.<>, *]+\.)?`?(\w*)")


def find_undocumented(sources: Iterable[Path]) -> Iterator[str]:
    """Yield a sentence for each public declaration without KDoc."""
    for source in sources:
        for line, name in list_undocumented(source.read_text(encoding="utf-8")):
            yield f"{source.name}:{line}: {name} has no KDoc."


def list_undocumented(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line number and name of each public declaration of a source without KDoc."""
    # The declarations around a line: the indentation, and whether those inside are public.
    around = [(-1, True)]
    documented, constructor = False, 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith(("/**", "*")):
            documented = True
            continue
        if constructor > 0:
            constructor += line.count("(") - line.count(")")
            continue
        found = DECLARATION.match(line)
        if found is None:
            documented = documented and stripped.startswith("@")
            continue
        indent, kind = len(found["indent"]), found["kind"].split()[-1]
        while around[-1][0] >= indent:
            around.pop()
        public = around[-1][1] and not HIDDEN & set(found["modifiers"].split())
        if public and not documented and kind != "init":
            name = NAME.match(found["rest"])
            yield number, name[1] if name and name[1] else kind
        if kind in CLASSES:
            constructor = found["rest"].count("(") - found["rest"].count(")")
        # A companion is public, whether or not it has KDoc.
        inside = kind in CLASSES and around[-1][1] and not (HIDDEN - {"companion"}) & set(found["modifiers"].split())
        around.append((indent, inside))
        documented = False
