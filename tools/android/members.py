"""Holds what compiled classes name of Android against the signatures of a recent API level, and against minSdk.

The framework classes that the apps are compiled against are old, and `overlay/` is written by hand. This catches a
member that Android does not have, has no longer or has not had from minSdk on, unless the level is checked around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import install
from toolchain import Toolchain, join_paths

HERE = Path(__file__).parent
SINCE = re.compile(r"@since (\d+)")
MODULE = re.compile(r"(?:declare|export) module ([\w.]+) \{")
CLASS = re.compile(r"export (?:abstract )?(?:class|interface) (\w+)(?:<.*?>)?\s*(.*)\{$")
MEMBER = re.compile(r"public (?:static |abstract )*(\w+)(\(|[?]?:)")
SUPER = re.compile(r"[a-z]\w*(?:\.\w+)+")
# In a descriptor: arrays and names of classes count as one.
PARAMETER = re.compile(r"\[*(?:L[^;]+;|[BCDFIJSZ])")
# What every object has, and every enumeration.
COMMON = {"equals", "hashCode", "toString", "getClass", "ordinal", "name", "compareTo"}


@dataclass(frozen=True)
class MemberUse:
    """A member that compiled classes name.

    Attributes:
        where: source file and line.
        owner: its class as they name it, with dots.
        name: of the member; `<init>` for a constructor.
        parameters: how many it takes; None for a field.
        level: the API level that is sure there; 0 where none is checked.
    """

    where: str
    owner: str
    name: str
    parameters: int | None
    level: int


@dataclass
class ClassSignatures:
    """A class of the framework.

    Attributes:
        since: the API level that it came with; 0 where it is not told, which is 21 or earlier.
        supers: the classes and interfaces that it inherits from.
        members: by name and number of parameters, the API levels that they came with.
    """

    since: int
    supers: tuple[str, ...]
    members: dict[tuple[str, int | None], int] = field(default_factory=dict)


def parse_uses(printed: str) -> list[MemberUse]:
    """What `Members.java` has printed."""
    found = []
    for line in printed.splitlines():
        where, owner, name, descriptor, level = line.split("\t")
        count = len(PARAMETER.findall(descriptor.partition(")")[0])) if descriptor else None
        found.append(MemberUse(where, owner.replace("/", ".").replace("$", "."), name, count, int(level)))
    return found


def find_misused_members(tools: Toolchain, folders: Iterable[Path], project: Path) -> list[str]:
    """What is wrong with the members of Android's that compiled classes name."""
    named = parse_uses(tools.told("-cp", join_paths(tools.asm), HERE / "Members.java", *folders))
    least = int(re.findall(r"minSdk = (\d+)", (project / "shvit/build.gradle.kts").read_text())[0])
    return list(find_faults(named, parse_signatures(install.install_signatures()), least))


def parse_signatures(declarations: Path) -> dict[str, ClassSignatures]:
    """The classes of NativeScript's declarations, by their names."""
    classes: dict[str, ClassSignatures] = {}
    names: list[str] = []
    since = 0
    with declarations.open() as lines:
        for line in map(str.strip, lines):
            if told := SINCE.search(line):
                since = int(told[1])
            elif opened := MODULE.match(line):
                names.append(opened[1])
            elif opened := CLASS.match(line):
                names.append(opened[1])
                classes[".".join(names)] = ClassSignatures(since, tuple(SUPER.findall(opened[2])))
                since = 0
            elif line == "}":
                names.pop()
            elif member := MEMBER.match(line):
                add_member(classes[".".join(names)], member, line[member.end() :], since)
                since = 0
    return classes


def add_member(owner: ClassSignatures, member: re.Match[str], rest: str, since: int) -> None:
    name = "<init>" if member[1] == "constructor" else member[1]
    key = name, count_parameters(rest) if member[2] == "(" else None
    owner.members[key] = min(since, owner.members.get(key, since))


def count_parameters(rest: str) -> int:
    """How many parameters stand before the parenthesis that closes them."""
    depth, commas = 0, 0
    for place, char in enumerate(rest):
        if char == ")" and depth == 0:
            return commas + 1 if rest[:place].strip() else 0
        depth += (char in "(<{[") - (char in ")>}]")
        commas += char == "," and depth == 0
    return 1


def find_faults(found: Iterable[MemberUse], classes: dict[str, ClassSignatures], least: int) -> Iterator[str]:
    """What is wrong with the members named: those that are nowhere, and those that are newer than `least` unguarded."""
    for use in found:
        member = f"{use.owner}.{use.name}"
        since = find_level(use.owner, use, classes)
        if since is None:
            yield f"{use.where}: Android has no {member} of {use.parameters or 'no'} parameters."
        elif since > max(least, use.level):
            sure = use.level or least
            yield f"{use.where}: {member} came with API {since}, and only {sure} is sure here."


def find_level(owner: str, use: MemberUse, classes: dict[str, ClassSignatures]) -> int | None:
    """The API level that a member came with, in a class or what it inherits from; None where it has no such member."""
    signatures = classes.get(owner)
    if signatures is None:
        return None
    own = signatures.members.get((use.name, use.parameters))
    if own is not None:
        return max(own, signatures.since)
    if use.name in COMMON or (use.name == "<init>" and use.parameters == 0):
        return signatures.since
    inherited = (find_level(above, use, classes) for above in signatures.supers)
    return next((max(since, signatures.since) for since in inherited if since is not None), None)
