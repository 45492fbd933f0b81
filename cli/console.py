"""What is printed and where: tables and data on stdout, everything else on stderr.

Here and in the modules beside it Rich is imported where it is used: `--help` has no use for it, and is quicker without.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

import typer

from .errors import escape_unprintable

DEFAULT_WIDTH = 100


def print_table(*renderables: Any) -> None:
    """Prints tables and texts on stdout, at most as wide as the terminal, or 100 columns where there is none."""
    from rich.console import Console

    console = Console(width=find_width(sys.stdout), markup=False, highlight=False)
    for renderable in renderables:
        if isinstance(renderable, str):
            console.print(escape_unprintable(renderable), soft_wrap=True)  # a path stays one line, to be copied
        else:
            console.print(renderable)


def print_json(value: Any) -> None:
    """Prints JSON on stdout."""
    typer.echo(json.dumps(value, indent=1))


def print_note(message: str) -> None:
    """Prints a sentence on stderr."""
    typer.echo(escape_unprintable(message), err=True)


def find_width(stream: TextIO) -> int | None:
    """None where the terminal knows it itself."""
    return None if stream.isatty() or "COLUMNS" in os.environ else DEFAULT_WIDTH
