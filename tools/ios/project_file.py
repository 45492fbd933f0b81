"""Reads Xcode's project files: NeXT's old property lists of texts, lists and dictionaries, with comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from shvit_mobile.errors import ShvitError

BLANK = r"\s+|//[^\n]*|/\*.*?\*/"
TOKEN = re.compile(rf'(?P<blank>{BLANK})|(?P<mark>[{{}}()=;,])|(?P<word>[\w./$-]+)|"(?P<text>(?:\\.|[^"\\])*)"', re.S)
ESCAPES = {"n": "\n", "t": "\t"}


class NotAProject(ShvitError):
    """A project file that cannot be read."""


class Token(NamedTuple):
    """A piece of a file: a mark of its grammar, or a text."""

    kind: str
    text: str
    line: int


def parsed(source: str) -> dict[str, Any]:
    """The dictionary that a project file is.

    Raises:
        NotAProject: it breaks the grammar, or has a key twice; names the line.
    """
    tokens = iter([*tokens_of(source), Token("end", "the end", source.count("\n") + 1)])
    value = value_of(next(tokens), tokens)
    expect(next(tokens), "end", "the end")
    if not isinstance(value, dict):
        raise NotAProject("The file is no dictionary.")
    return value


def tokens_of(source: str) -> Iterator[Token]:
    """All but blanks and comments."""
    place = 0
    while place < len(source):
        found = TOKEN.match(source, place)
        line = source.count("\n", 0, place) + 1
        if not found or not found.lastgroup:
            raise NotAProject(f"Line {line} has {source[place]!r}, which means nothing there.", why="Quote it.")
        if found.lastgroup != "blank":
            text = found[found.lastgroup]
            if found.lastgroup == "text":
                text = re.sub(r"\\(.)", lambda escape: ESCAPES.get(escape[1], escape[1]), text)
            yield Token("mark" if found.lastgroup == "mark" else "text", text, line)
        place = found.end()


def value_of(first: Token, rest: Iterator[Token]) -> Any:
    """The value that begins with a token."""
    if first.kind == "text":
        return first.text
    if first.text == "(":
        return list_of(rest)
    if first.text == "{":
        return dictionary_of(rest)
    raise NotAProject(f"Line {first.line} has {first.text!r} in place of a value.")


def list_of(rest: Iterator[Token]) -> list[Any]:
    """What stands before the closing parenthesis; a comma follows each but perhaps the last."""
    values: list[Any] = []
    token = next(rest)
    while token.text != ")" or token.kind != "mark":
        values.append(value_of(token, rest))
        token = next(rest)
        if token == ("mark", ",", token.line):
            token = next(rest)
        elif token != ("mark", ")", token.line):
            expect(token, "mark", ",")
    return values


def dictionary_of(rest: Iterator[Token]) -> dict[str, Any]:
    """What stands before the closing brace: keys, each with its value."""
    values: dict[str, Any] = {}
    while (key := next(rest)) != ("mark", "}", key.line):
        if key.kind != "text":
            raise NotAProject(f"Line {key.line} has {key.text!r} in place of a key.")
        if key.text in values:
            raise NotAProject(f"Line {key.line} has the key {key.text} for the second time.")
        expect(next(rest), "mark", "=")
        values[key.text] = value_of(next(rest), rest)
        expect(next(rest), "mark", ";")
    return values


def expect(token: Token, kind: str, text: str) -> None:
    """Raises `NotAProject` where a token is another one."""
    if (token.kind, token.text) != (kind, text):
        raise NotAProject(f"Line {token.line} has {token.text!r} in place of {text!r}.")
