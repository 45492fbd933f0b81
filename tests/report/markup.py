"""HTML, read strictly: what is not well-formed fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}


@dataclass
class HtmlElement:
    """An element, its attributes, and all that is written in it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    inside: list[HtmlElement] = field(default_factory=list)

    def all(self, tag: str) -> list[HtmlElement]:
        found = [one for one in self.inside if one.tag == tag]
        return found + [deeper for one in self.inside for deeper in one.all(tag)]

    def every(self) -> list[HtmlElement]:
        return [self, *(deeper for one in self.inside for deeper in one.every())]


class StrictParser(HTMLParser):
    """Puts a tree together; raises `AssertionError` for a tag that is not closed where it should be."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = HtmlElement("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        element = HtmlElement(tag, {name: value or "" for name, value in attrs})
        self._open[-1].inside.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        raise AssertionError(f"<{tag}/> is no HTML")

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> where <{self._open[-1].tag}> is open, in line {self.getpos()[0]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data


def parse_page(page: str) -> HtmlElement:
    """The page as a tree."""
    reader = StrictParser()
    reader.feed(page)
    reader.close()
    assert len(reader._open) == 1, f"<{reader._open[-1].tag}> is never closed"
    return reader.root
