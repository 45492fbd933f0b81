"""The command line stays thin: short functions, and one help text that states every default."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import shvit_mobile.cli

FOLDER = Path(shvit_mobile.cli.__file__).parent
MAX_LINES = 80


def count_code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function, signature included, without its docstring."""
    length = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        length -= (first.end_lineno or 0) - first.lineno + 1
    return length


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_no_function_is_longer_than_eighty_lines(path: Path) -> None:
    functions = (
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    )
    lengths = {function.name: count_code_lines(function) for function in functions}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_code_lines_are_counted_without_the_docstring() -> None:
    source = 'def f(\n    a,\n):\n    """One.\n\n    Two.\n    """\n    return a\n'
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert count_code_lines(function) == 4
