"""The check of the documentation site finds what is broken."""

from __future__ import annotations

from pathlib import Path

import check_site
import pytest
from check_page import find_chromium

BROWSER = find_chromium()
PAGE = (
    '<!doctype html><title>x</title><link rel="icon" href="data:,"><div class="md-content"><p id="here">x</p>{}</div>'
)
LAYOUT_FAULTS = {
    '<p style="width:2000px">x</p>': "the page is 2",
    '<img alt="gone" src="gone.png">': 'the image "gone" is broken',
    '<img alt="" src="http://localhost:9/x.jpg">': "it requests http://localhost:9/x.jpg",
    "<script>throw new Error('oh')</script>": "exception: Uncaught",
}


def write_site(folder: Path, body: str) -> list[Path]:
    (folder / "sub").mkdir()
    pages = [folder / "index.html", folder / "sub" / "other.html"]
    pages[0].write_text(PAGE.format(body), encoding="utf-8")
    pages[1].write_text(PAGE.format('<a href="../index.html#here">x</a>'), encoding="utf-8")
    return pages


@pytest.mark.parametrize("link", ["gone.html", "sub/other.html#gone", "#gone", "sub/gone.css"])
def test_a_broken_link_is_found(link: str, tmp_path: Path) -> None:
    pages = write_site(tmp_path, f'<a href="{link}">x</a>')
    (fault,) = check_site.find_broken_links(tmp_path, pages)
    assert fault.startswith(f"index.html: {link} ")


@pytest.mark.parametrize("link", ["sub/other.html#here", "#here", "sub/other.html", "https://example.org/gone"])
def test_a_link_that_leads_somewhere_is_no_fault(link: str, tmp_path: Path) -> None:
    assert list(check_site.find_broken_links(tmp_path, write_site(tmp_path, f'<a href="{link}">x</a>'))) == []


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on PATH")
def test_chromium_shows_every_layout_fault_at_every_width(tmp_path: Path) -> None:
    assert BROWSER
    faults = check_site.find_layout_faults(tmp_path, write_site(tmp_path, "".join(LAYOUT_FAULTS)), BROWSER)
    assert all(fault.startswith("index.html") for fault in faults), "the other page has none"
    for view in check_site.WIDTHS:
        for words in LAYOUT_FAULTS.values():
            assert any(f", {view}: " in fault and words in fault for fault in faults), (view, words, faults)
