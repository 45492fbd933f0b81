"""Check the documentation site that `make docs` builds: links, layout, console and requests.

    python tools/check_site.py build/site

Every link and anchor has to lead somewhere. In Chromium, at the widths of a phone and a desktop, no page may be wider
than its window, no text may stick out, no image may be broken, the console may show no error, and nothing may be
requested from another server. Without Chromium, only the links are checked. The exit status is 1 if there is a fault.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import typer
from check_page import (
    FIND_BROKEN_IMAGES,
    HEIGHT,
    WIDTHS,
    Browser,
    build_overflow_script,
    evaluate_script,
    find_chromium,
    open_browser,
)

# The drawer of the navigation lies outside the window on a phone, so only the text is checked.
CONTENT = "document.querySelector('.md-content')"


class PageParser(HTMLParser):
    """The anchors of a page, and what it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name in ("href", "src"):
                self.links.append(value)


def main(site: Annotated[Path, typer.Argument(help="The folder of the site.")]) -> None:
    pages = sorted(path for path in site.rglob("*.html") if path.name != "404.html")
    faults = list(find_broken_links(site, pages))
    program = find_chromium()
    if program is None:
        print("note: there is no Chromium, so only links were checked", file=sys.stderr)
    else:
        faults += find_layout_faults(site, pages, program)
    for fault in faults:
        print(fault)
    print(f"{site}: {len(pages)} pages, {len(faults)} faults")
    raise typer.Exit(1 if faults else 0)


def find_broken_links(site: Path, pages: list[Path]) -> Iterator[str]:
    """Yield a sentence for each link inside the site that leads nowhere."""
    parsed = {page.resolve(): parse_page(page) for page in pages}
    for page in pages:
        for link in parsed[page.resolve()].links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                yield f"{page.relative_to(site)}: {link} does not exist"
            elif parts.fragment and target in parsed and unquote(parts.fragment) not in parsed[target].anchors:
                yield f"{page.relative_to(site)}: {link} has no such anchor"


def parse_page(page: Path) -> PageParser:
    parser = PageParser()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


def find_layout_faults(site: Path, pages: list[Path], program: str) -> list[str]:
    """Return a sentence for each fault that Chromium shows."""
    faults = []
    with serve_folder(site) as address, open_browser(program) as browser:
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            browser.call(f"{domain}.enable", session)
        for page in pages:
            name = page.relative_to(site).as_posix()
            for view, width in WIDTHS.items():
                found = find_page_faults(browser, session, f"{address}/{name}", width, address)
                faults += [f"{name}, {view}: {fault}" for fault in found]
    return faults


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of this machine, and yield its address."""

    class QuietHandler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def find_page_faults(browser: Browser, session: str, url: str, width: int, address: str) -> list[str]:
    browser.events.clear()
    size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", session, **size)
    browser.call("Page.navigate", session, url=url)
    browser.wait("Page.loadEventFired")
    scripts = (build_overflow_script(CONTENT), FIND_BROKEN_IMAGES)
    faults = [fault for script in scripts for fault in evaluate_script(browser, session, script)]
    return faults + [fault for event in browser.events if (fault := describe_event(event, address))]


def describe_event(event: dict[str, Any], address: str) -> str | None:
    """Return what is wrong with an event of the browser, if anything."""
    params = event["params"]
    match event["method"]:
        case "Network.requestWillBeSent":
            url = params["request"]["url"]
            allowed = url.startswith((f"{address}/", "data:", "blob:"))
            return None if allowed else f"it requests {url}"
        case "Log.entryAdded" if params["entry"]["level"] == "error":
            return f"console: {params['entry']['text']} {params['entry'].get('url', '')}"
        case "Runtime.exceptionThrown":
            return f"exception: {params['exceptionDetails']['text']}"
    return None


if __name__ == "__main__":
    typer.run(main)
