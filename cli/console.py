"""Prints tables and data on stdout, and everything else on stderr.

The command line imports Rich only where it is used, because the list of commands is printed faster without it.
"""

import json
import os
import sys
from typing import Any, TextIO

import typer

from .errors import escape_unprintable

_DEFAULT_WIDTH = 100


def print_table(*renderables: Any) -> None:
    """Print tables and texts on stdout, as wide as the terminal, or 100 columns if there is none."""
    from rich.console import Console

    console = Console(width=_find_width(sys.stdout), markup=False, highlight=False)
    for renderable in renderables:
        if isinstance(renderable, str):
            console.print(escape_unprintable(renderable), soft_wrap=True)  # a path stays one line, to be copied
        else:
            console.print(renderable)


def print_json(value: Any) -> None:
    """Print JSON on stdout."""
    typer.echo(json.dumps(value, indent=1))


def print_note(message: str) -> None:
    """Print a sentence on stderr."""
    typer.echo(escape_unprintable(message), err=True)


def _find_width(stream: TextIO) -> int | None:
    """Return the width of the output; None if the terminal knows it."""
    return None if stream.isatty() or "COLUMNS" in os.environ else _DEFAULT_WIDTH
