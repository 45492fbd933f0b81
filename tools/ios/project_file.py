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


def parse_project(source: str) -> dict[str, Any]:
    """The dictionary that a project file is.

    Raises:
        NotAProject: it breaks the grammar, or has a key twice; names the line.
    """
    tokens = iter([*tokenize(source), Token("end", "the end", source.count("\n") + 1)])
    value = parse_value(next(tokens), tokens)
    expect_token(next(tokens), "end", "the end")
    if not isinstance(value, dict):
        raise NotAProject("The file is no dictionary.")
    return value


def tokenize(source: str) -> Iterator[Token]:
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


def parse_value(first: Token, rest: Iterator[Token]) -> Any:
    """The value that begins with a token."""
    if first.kind == "text":
        return first.text
    if first.text == "(":
        return parse_list(rest)
    if first.text == "{":
        return parse_dictionary(rest)
    raise NotAProject(f"Line {first.line} has {first.text!r} in place of a value.")


def parse_list(rest: Iterator[Token]) -> list[Any]:
    """What stands before the closing parenthesis; a comma follows each but perhaps the last."""
    values: list[Any] = []
    token = next(rest)
    while token.text != ")" or token.kind != "mark":
        values.append(parse_value(token, rest))
        token = next(rest)
        if token == ("mark", ",", token.line):
            token = next(rest)
        elif token != ("mark", ")", token.line):
            expect_token(token, "mark", ",")
    return values


def parse_dictionary(rest: Iterator[Token]) -> dict[str, Any]:
    """What stands before the closing brace: keys, each with its value."""
    values: dict[str, Any] = {}
    while (key := next(rest)) != ("mark", "}", key.line):
        if key.kind != "text":
            raise NotAProject(f"Line {key.line} has {key.text!r} in place of a key.")
        if key.text in values:
            raise NotAProject(f"Line {key.line} has the key {key.text} for the second time.")
        expect_token(next(rest), "mark", "=")
        values[key.text] = parse_value(next(rest), rest)
        expect_token(next(rest), "mark", ";")
    return values


def expect_token(token: Token, kind: str, text: str) -> None:
    """Raises `NotAProject` where a token is another one."""
    if (token.kind, token.text) != (kind, text):
        raise NotAProject(f"Line {token.line} has {token.text!r} in place of {text!r}.")
