"""The hooks of mkdocs.yml: pages from files outside docs/, the command line reference, and links between them.

Links in the repository are relative to the file that has them, so that they work on a code host. In the site, a link to
another page becomes a link to that page, and a link to a source file becomes plain text.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
# Files of the repository that are pages of the site.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "ios_demo/README.md": "ios.md",
    "android_demo/README.md": "android.md",
    "shvit_mobile/demo/MODEL_CARD.md": "demo-model.md",
}
CLI_PAGE = "cli.md"
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that do not lie in docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, CLI_PAGE, content=format_cli_page()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite the links of a page from paths in the repository to pages of the site."""
    name = page.file.src_uri
    source = next((source for source, target in PAGES.items() if target == name), f"docs/{name}")
    parts = CODE_BLOCK.split(markdown)
    parts[::2] = [LINK.sub(lambda link: rewrite_link(link, source, name), part) for part in parts[::2]]
    return "".join(parts)


def rewrite_link(link: re.Match[str], source: str, page: str) -> str:
    """Return one link of the file `source` as it reads on `page`."""
    text, target = link.groups()
    path, _, anchor = target.partition("#")
    if not path or "://" in target:
        return link[0]
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    found = PAGES.get(wanted, wanted.removeprefix("docs/") if wanted.startswith("docs/") else None)
    if found is None:
        return text
    relative = posixpath.relpath(found, posixpath.dirname(page) or ".")
    return f"[{text}]({relative}{'#' if anchor else ''}{anchor})"


def format_cli_page() -> str:
    """Return the reference of every command and option, as the command line itself defines them."""
    os.environ["TERM"] = "dumb"
    import typer
    from typer.cli import get_docs_for_click

    from shvit_mobile.cli.main import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="shvit-mobile"), name="shvit-mobile")
    for name, one in command.commands.items():  # type: ignore[attr-defined]
        # The list of commands in full sentences, not cut off to fit a terminal.
        text = text.replace(
            f"* `{name}`: {one.get_short_help_str()}", f"* `{name}`: {one.get_short_help_str(limit=200)}"
        )
    return text.replace("# `shvit-mobile`", "# Command line", 1)
