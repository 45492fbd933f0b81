"""The articles of the Swift package name what the package has. `tools/ios/typecheck.py` compiles their examples."""

from __future__ import annotations

import re
from pathlib import Path

KIT = Path(__file__).parents[2] / "ios_demo/SHViTKit/Sources/SHViTKit"
ARTICLES = {page.stem: page.read_text(encoding="utf-8") for page in (KIT / "SHViTKit.docc").glob("*.md")}


def test_symbols_that_articles_link_to_are_public_types() -> None:
    sources = "\n".join(source.read_text(encoding="utf-8") for source in KIT.rglob("*.swift"))
    public = set(re.findall(r"public (?:final )?(?:class|struct|enum|protocol|actor) (\w+)", sources)) | {"SHViTKit"}
    linked = {name for text in ARTICLES.values() for name in re.findall(r"``(\w+)``", text)}
    assert linked
    assert linked - public == set()


def test_articles_link_to_articles() -> None:
    linked = {name for text in ARTICLES.values() for name in re.findall(r"<doc:(\w+)>", text)}
    assert linked == ARTICLES.keys() - {"SHViTKit"}
