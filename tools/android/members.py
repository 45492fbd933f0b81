"""Checks the Android members that compiled classes name against the signatures of a recent API level and minSdk.

The app is compiled against old framework classes and a hand-written `overlay/`. This check finds members that Android
does not have, or that are newer than minSdk and not guarded by a check of the API level.
"""

from __future__ import annotations

import functools
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
# A parameter in a descriptor; arrays and class names count as one.
PARAMETER = re.compile(r"\[*(?:L[^;]+;|[BCDFIJSZ])")
# The members of every object and enumeration.
COMMON = {"equals", "hashCode", "toString", "getClass", "ordinal", "name", "compareTo"}


@dataclass(frozen=True)
class MemberUse:
    """A use of a member in compiled classes.

    Attributes:
        where: The source file and line.
        owner: The member's class, with dots.
        name: The member's name; `<init>` for a constructor.
        parameters: The number of parameters; None for a field.
        level: The API level that the code checks; 0 if it checks none.
    """

    where: str
    owner: str
    name: str
    parameters: int | None
    level: int


@dataclass
class ClassSignatures:
    """The signatures of a framework class.

    Attributes:
        since: The API level of the class; 0 if unknown, which means 21 or earlier.
        supers: The classes and interfaces that it inherits from.
        members: The API level of each member, by name and number of parameters.
    """

    since: int
    supers: tuple[str, ...]
    members: dict[tuple[str, int | None], int] = field(default_factory=dict)


def parse_uses(printed: str) -> list[MemberUse]:
    """Parse the output of `Members.java`."""
    uses = []
    for line in printed.splitlines():
        where, owner, name, descriptor, level = line.split("\t")
        count = len(PARAMETER.findall(descriptor.partition(")")[0])) if descriptor else None
        uses.append(MemberUse(where, owner.replace("/", ".").replace("$", "."), name, count, int(level)))
    return uses


def find_misused_members(tools: Toolchain, folders: Iterable[Path], project: Path) -> list[str]:
    """Return a sentence for each misused Android member in compiled classes."""
    uses = parse_uses(tools.run_java("-cp", join_paths(tools.asm), HERE / "Members.java", *folders))
    least = int(re.findall(r"minSdk = (\d+)", (project / "shvit/build.gradle.kts").read_text(encoding="utf-8"))[0])
    return list(find_faults(uses, parse_signatures(install.install_signatures()), least))


@functools.cache
def parse_signatures(declarations: Path) -> dict[str, ClassSignatures]:
    """Parse NativeScript's declarations into classes by name."""
    classes: dict[str, ClassSignatures] = {}
    names: list[str] = []
    since = 0
    with declarations.open(encoding="utf-8") as lines:
        for line in map(str.strip, lines):
            if match := SINCE.search(line):
                since = int(match[1])
            elif match := MODULE.match(line):
                names.append(match[1])
            elif match := CLASS.match(line):
                names.append(match[1])
                classes[".".join(names)] = ClassSignatures(since, tuple(SUPER.findall(match[2])))
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
    """Return the number of parameters before the closing parenthesis."""
    depth, commas = 0, 0
    for place, char in enumerate(rest):
        if char == ")" and depth == 0:
            return commas + 1 if rest[:place].strip() else 0
        depth += (char in "(<{[") - (char in ")>}]")
        commas += char == "," and depth == 0
    return 1


def find_faults(uses: Iterable[MemberUse], classes: dict[str, ClassSignatures], least: int) -> Iterator[str]:
    """Yield a sentence for each member that does not exist, or that is newer than `least` and not guarded."""
    for use in uses:
        member = f"{use.owner}.{use.name}"
        since = find_level(use.owner, use, classes)
        if since is None:
            yield f"{use.where}: Android has no {member} with {use.parameters or 'no'} parameters."
        elif since > max(least, use.level):
            yield f"{use.where}: {member} needs API {since}, but only {use.level or least} is guaranteed here."


def find_level(owner: str, use: MemberUse, classes: dict[str, ClassSignatures]) -> int | None:
    """Return a member's API level in a class or its supertypes; None if there is no such member."""
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
