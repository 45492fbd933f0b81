"""Every link of the documentation leads somewhere, and every page can be reached."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.markdown import PAGES, ROOT, get_name, iterate_inline_code, iterate_links, list_anchors, read

SOURCE_FILE = re.compile(r"[\w/]+\.(?:py|swift|kt|json|toml|md|yml)")
# Where files named in the text may lie.
PARENTS = (ROOT, ROOT / "shvit_mobile", ROOT / "shvit_mobile" / "runtimes", ROOT / "tools" / "ios")


def find_broken_links(page: Path, target: str) -> str | None:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return f"{get_name(page)}: {target} does not exist"
    if anchor and file.suffix == ".md" and anchor not in list_anchors(file):
        return f"{get_name(page)}: {target} has no such heading"
    return None


def test_every_link_leads_somewhere() -> None:
    inside = [(page, target) for page, target in iterate_links() if "://" not in target]
    assert len(inside) > 40
    assert [fault for page, target in inside if (fault := find_broken_links(page, target))] == []


@pytest.mark.parametrize("target", ["docs/gone.md", "docs/benchmarks.md#gone", "#gone"])
def test_a_broken_link_is_found(target: str) -> None:
    assert find_broken_links(ROOT / "README.md", target)


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.is_relative_to(ROOT / "docs")]
    assert [page for page in pages if page not in navigation] == []


def test_source_files_named_in_the_text_exist() -> None:
    named = {
        (page, code)
        for page, code in iterate_inline_code()
        if page.startswith(("docs/", "CONTRIBUTING", "README")) and "/" in code and SOURCE_FILE.fullmatch(code)
    }
    missing = [pair for pair in named if not any((parent / pair[1]).exists() for parent in PARENTS)]
    generated = {".github/workflows/ci.yml", "NAME.goldens/goldens.json", "shvit_mobile/targets/NAME.py"}
    app_paths = {"gradle/libs.versions.toml"}
    assert [pair for pair in missing if pair[1] not in generated | app_paths] == []


def test_the_readme_is_short() -> None:
    assert len(read(ROOT / "README.md").splitlines()) <= 130
