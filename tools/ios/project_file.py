"""Parses Xcode's project files: OpenStep property lists of texts, lists and dictionaries, with comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from shvit_mobile.errors import ShvitError

BLANK = r"\s+|//[^\n]*|/\*.*?\*/"
TOKEN = re.compile(rf'(?P<blank>{BLANK})|(?P<mark>[{{}}()=;,])|(?P<word>[\w./$-]+)|"(?P<text>(?:\\.|[^"\\])*)"', re.S)
ESCAPES = {"n": "\n", "t": "\t"}


class NotAProject(ShvitError):
    """A project file that cannot be parsed."""


class Token(NamedTuple):
    """A token: punctuation, or a text."""

    kind: str
    text: str
    line: int


def parse_project(source: str) -> dict[str, Any]:
    """Parse a project file into a dictionary.

    Raises:
        NotAProject: If the syntax is invalid, or a key occurs twice; names the line.
    """
    tokens = iter([*tokenize(source), Token("end", "the end", source.count("\n") + 1)])
    value = parse_value(next(tokens), tokens)
    expect_token(next(tokens), "end", "the end")
    if not isinstance(value, dict):
        raise NotAProject("The file is not a dictionary.")
    return value


def tokenize(source: str) -> Iterator[Token]:
    """Yield the tokens without whitespace and comments."""
    place = 0
    while place < len(source):
        match = TOKEN.match(source, place)
        line = source.count("\n", 0, place) + 1
        if not match or not match.lastgroup:
            raise NotAProject(f"Line {line} has an unexpected {source[place]!r}.", why="It must be quoted.")
        if match.lastgroup != "blank":
            text = match[match.lastgroup]
            if match.lastgroup == "text":
                text = re.sub(r"\\(.)", lambda escape: ESCAPES.get(escape[1], escape[1]), text)
            yield Token("mark" if match.lastgroup == "mark" else "text", text, line)
        place = match.end()


def parse_value(first: Token, rest: Iterator[Token]) -> Any:
    """Parse the value that begins with a token."""
    if first.kind == "text":
        return first.text
    if first.text == "(":
        return parse_list(rest)
    if first.text == "{":
        return parse_dictionary(rest)
    raise NotAProject(f"Line {first.line} has {first.text!r} instead of a value.")


def parse_list(rest: Iterator[Token]) -> list[Any]:
    """Parse a list up to the closing parenthesis; a comma after the last value is optional."""
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
    """Parse a dictionary up to the closing brace."""
    values: dict[str, Any] = {}
    while (key := next(rest)) != ("mark", "}", key.line):
        if key.kind != "text":
            raise NotAProject(f"Line {key.line} has {key.text!r} instead of a key.")
        if key.text in values:
            raise NotAProject(f"Line {key.line} has a duplicate key {key.text}.")
        expect_token(next(rest), "mark", "=")
        values[key.text] = parse_value(next(rest), rest)
        expect_token(next(rest), "mark", ";")
    return values


def expect_token(token: Token, kind: str, text: str) -> None:
    """Raise `NotAProject` if a token is not the expected one."""
    if (token.kind, token.text) != (kind, text):
        raise NotAProject(f"Line {token.line} has {token.text!r} instead of {text!r}.")
