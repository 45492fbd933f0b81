"""Check a page of `shvit-mobile report` in Chromium, at the width of a phone and a desktop, in light and dark.

    python tools/check_page.py report.html --shots shots/

Faults are: a page wider than its window, an element that sticks out of it (unless inside a scroll container), a text
that leaves its chart, a broken image, anything on the console, and any request except for the page itself. The exit
status is 1 if there is a fault. With `--shots`, screenshots and the printed page (PDF) are kept.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BROWSER_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTHS = {"phone": 390, "desktop": 1280}
SCHEMES = ("light", "dark")
HEIGHT = 900
# Height of a screenshot, in pixels.
SCREENSHOT_HEIGHT = 1500
# Finds what sticks out of the window to the right or left, and is not inside something that scrolls or clips.
FIND_OVERFLOWING = """
(() => {
  const root = ROOT;
  const wide = document.documentElement.scrollWidth, window_ = innerWidth, found = [];
  if (wide > window_) found.push(`the page is ${wide} pixels wide in a window of ${window_}`);
  for (const element of root.querySelectorAll('*')) {
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height || (box.right <= window_ + 1 && box.left >= -1)) continue;
    let inside = false;
    for (let parent = element.parentElement; parent && parent !== document.body; parent = parent.parentElement)
      inside ||= ['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(parent).overflowX);
    if (!inside && getComputedStyle(element).position !== 'absolute')
      found.push(`<${element.tagName.toLowerCase()} class="${element.getAttribute('class') ?? ''}"> reaches ` +
                 `from ${Math.round(box.left)} to ${Math.round(box.right)}`);
  }
  return found.slice(0, 10);
})()
"""
# Finds texts that leave the area of their chart.
FIND_CLIPPED = """
(() => {
  const found = [];
  for (const chart of document.querySelectorAll('svg.chart')) {
    const box = chart.getBoundingClientRect();
    if (!box.width) continue;
    for (const text of chart.querySelectorAll('text')) {
      const own = text.getBoundingClientRect();
      if (own.left < box.left - 12 || own.right > box.right + 12)
        found.push(`the text "${text.textContent}" leaves its chart: ` +
                   (chart.getAttribute('aria-label') ?? chart.getAttribute('class')));
    }
  }
  return found.slice(0, 10);
})()
"""
FIND_BROKEN_IMAGES = """
[...document.images].filter(image => !image.complete || !image.naturalWidth)
  .map(image => `the image "${image.alt}" is broken`)
"""


class Browser:
    """A headless Chromium, driven over pipes in its DevTools protocol."""

    def __init__(self, program: str, folder: Path) -> None:
        read_ours, write_theirs = os.pipe()
        read_theirs, write_ours = os.pipe()

        def pipes() -> None:
            # Chromium reads commands from 3 and writes answers to 4. The copies keep one pair from covering the other.
            commands, answers = os.dup(read_theirs), os.dup(write_theirs)
            os.dup2(commands, 3)
            os.dup2(answers, 4)

        options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe")
        self._process = subprocess.Popen(
            [program, *options, f"--user-data-dir={folder}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=pipes,
            close_fds=False,
        )
        os.close(read_theirs)
        os.close(write_theirs)
        self._answers, self._commands = os.fdopen(read_ours, "rb"), os.fdopen(write_ours, "wb")
        self._count, self._rest = 0, b""
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Return the result of a command; keep the events that arrive meanwhile."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        for answer in self._messages():
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
        raise RuntimeError(f"Chromium ended at {method}")

    def wait(self, method: str) -> None:
        """Wait until an event of this name arrives."""
        if any(event["method"] == method for event in self.events):
            return
        next(event for event in self._messages() if event.get("method") == method)

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            while b"\0" not in self._rest:
                chunk = os.read(self._answers.fileno(), 1 << 20)
                if not chunk:
                    return
                self._rest += chunk
            message, _, self._rest = self._rest.partition(b"\0")
            parsed = json.loads(message)
            if "method" in parsed:
                self.events.append(parsed)
            yield parsed

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._answers.close()
        self._commands.close()


@dataclass(frozen=True)
class View:
    """A width and a colour scheme."""

    name: str
    width: int
    scheme: str


VIEWS = tuple(View(f"{name}-{scheme}", width, scheme) for name, width in WIDTHS.items() for scheme in SCHEMES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--shots", type=Path, help="folder for screenshots and the printed page")
    arguments = parser.parse_args()
    program = find_chromium()
    if program is None:
        sys.exit(f"There is no Chromium on PATH ({', '.join(BROWSER_NAMES)}).")
    faults = find_faults(arguments.page, program, arguments.shots)
    for fault in faults:
        print(fault)
    print(f"{arguments.page}: {len(faults)} faults in {len(VIEWS)} views")
    sys.exit(1 if faults else 0)


def find_chromium() -> str | None:
    """Return the first Chromium on PATH."""
    return next((found for name in BROWSER_NAMES if (found := shutil.which(name))), None)


def find_faults(page: Path, program: str, shots: Path | None = None) -> list[str]:
    """Return a sentence for each fault, with the view that shows it."""
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    with open_browser(program) as browser:
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            browser.call(f"{domain}.enable", session)
        found = [
            f"{view.name}: {fault}"
            for view in VIEWS
            for fault in find_faults_in_view(browser, session, page, view, shots)
        ]
        if shots:
            print_page(browser, session, shots / "print.pdf")
    return found


@contextmanager
def open_browser(program: str) -> Iterator[Browser]:
    with tempfile.TemporaryDirectory(prefix="check-page-", ignore_cleanup_errors=True) as folder:
        browser = Browser(program, Path(folder))
        try:
            yield browser
        finally:
            browser.close()


def find_faults_in_view(browser: Browser, session: str, page: Path, view: View, shots: Path | None) -> list[str]:
    url = page.resolve().as_uri()
    browser.events.clear()
    size = {"width": view.width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", session, **size)
    features = [{"name": "prefers-color-scheme", "value": view.scheme}]
    browser.call("Emulation.setEmulatedMedia", session, features=features)
    browser.call("Page.navigate", session, url=url)
    browser.wait("Page.loadEventFired")
    # Closed parts are checked too.
    evaluate_script(browser, session, "document.querySelectorAll('details').forEach(one => one.open = true)")
    found = [
        fault
        for script in (build_overflow_script(), FIND_CLIPPED, FIND_BROKEN_IMAGES)
        for fault in evaluate_script(browser, session, script)
    ]
    evaluate_script(browser, session, "document.querySelectorAll('details').forEach(one => one.open = false)")
    if shots:
        for number, clip in enumerate(split_into_pieces(browser, session), 1):
            shot = browser.call("Page.captureScreenshot", session, captureBeyondViewport=True, clip=clip)
            (shots / f"{view.name}-{number:02}.png").write_bytes(base64.b64decode(shot["data"]))
    return found + [fault for event in browser.events if (fault := describe_event(event, url))]


def build_overflow_script(root: str = "document.body") -> str:
    """Return the script that lists what sticks out of the window below the element `root`, a JavaScript expression."""
    return FIND_OVERFLOWING.replace("ROOT", root)


def describe_event(event: dict[str, Any], url: str) -> str | None:
    """Return what is wrong with an event of the browser, if anything."""
    params = event["params"]
    match event["method"]:
        case "Network.requestWillBeSent":
            requested = params["request"]["url"]
            allowed = requested.partition("#")[0] == url or requested.startswith("data:")
            return None if allowed else f"it requests {requested}"
        case "Log.entryAdded":
            return f"console: {params['entry']['text']}"
        case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
            return f"console: {json.dumps(params)[:200]}"
    return None


def evaluate_script(browser: Browser, session: str, script: str) -> Any:
    return browser.call("Runtime.evaluate", session, expression=script, returnByValue=True)["result"].get("value")


def split_into_pieces(browser: Browser, session: str) -> list[dict[str, float]]:
    """Return the page from top to bottom in pieces that Chromium can draw at once."""
    size = browser.call("Page.getLayoutMetrics", session)["cssContentSize"]
    return [
        {"x": 0, "y": top, "width": size["width"], "height": min(size["height"] - top, SCREENSHOT_HEIGHT), "scale": 1}
        for top in range(0, int(size["height"]), SCREENSHOT_HEIGHT)
    ]


def print_page(browser: Browser, session: str, path: Path) -> None:
    browser.call("Emulation.setEmulatedMedia", session, features=[])
    printed = browser.call("Page.printToPDF", session, printBackground=True, paperWidth=8.27, paperHeight=11.69)
    path.write_bytes(base64.b64decode(printed["data"]))


if __name__ == "__main__":
    main()
