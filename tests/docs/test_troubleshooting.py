"""The troubleshooting guide quotes errors that exist."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.docs.markdown import ROOT, read

QUOTED = re.findall(r'^### "(.+)"$', read(ROOT / "docs/guides/troubleshooting.md"), re.MULTILINE)


@cache
def read_sources() -> str:
    """Return the library's and the command line's sources, with parameters as the flags that the reader sees."""
    paths = [*(ROOT / "shvit_mobile").rglob("*.py"), *(ROOT / "cli").glob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return re.sub(r"`([a-z_]+)`", lambda name: f"--{name[1].replace('_', '-')}", text)


@pytest.mark.parametrize("words", QUOTED)
def test_a_quoted_error_exists(words: str) -> None:
    assert words in read_sources()
