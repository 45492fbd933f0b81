"""The documentation as the tests read it: pages, code blocks, inline code, links and anchors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / name for name in ("ios_demo/README.md", "android_demo/README.md", "shvit_mobile/demo/MODEL_CARD.md")),
    ]
)
_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)*)`(?!`)")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block: its page, its language as written, and its text without the indentation of the fence."""

    page: str
    language: str
    text: str


def get_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def list_code_blocks(*languages: str) -> list[CodeBlock]:
    """List the blocks in one of these languages, or all of them."""
    blocks = [
        CodeBlock(get_name(page), language.strip(), re.sub(f"^{indent}", "", text, flags=re.MULTILINE))
        for page in PAGES
        for indent, language, text in _FENCE.findall(read(page))
    ]
    return [block for block in blocks if not languages or block.language in languages]


def remove_code_blocks(page: Path) -> str:
    return _FENCE.sub("", read(page))


def iterate_inline_code() -> Iterator[tuple[str, str]]:
    """Yield the page and the text of every inline code."""
    for page in PAGES:
        for text in _INLINE.findall(remove_code_blocks(page)):
            yield get_name(page), " ".join(text.split())


def iterate_links() -> Iterator[tuple[Path, str]]:
    """Yield the page and the target of every link."""
    for page in PAGES:
        for target in _LINK.findall(_INLINE.sub("", remove_code_blocks(page))):
            yield page, target


@cache
def list_anchors(page: Path) -> frozenset[str]:
    """List the anchors of a page's headings, as code hosts and the site make them."""
    headings = _HEADING.findall(remove_code_blocks(page))
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain)
