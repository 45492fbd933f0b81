"""Every Python example in the documentation compiles, imports names that exist, and uses them as they are typed."""

from __future__ import annotations

import ast
import inspect
import json
import tomllib
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

import shvit_mobile
from tests.docs.markdown import ROOT, CodeBlock, list_code_blocks

EXAMPLES = list_code_blocks("python")
LANGUAGES = {"bash", "json", "kotlin", "python", "swift", "text", "toml"}
# Pages whose examples need neither files nor time.
QUICK = {"docs/api/options.md", "docs/api/errors.md"}


def get_id(block: CodeBlock) -> str:
    return f"{block.page}-{EXAMPLES.index(block)}"


def import_names(tree: ast.Module) -> dict[str, Any]:
    """Import what an example imports, by the names it uses.

    Raises:
        AttributeError: If a module has no such name.
    """
    names: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {
                alias.asname or alias.name: getattr(import_module(node.module), alias.name) for alias in node.names
            }
        elif isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: import_module(alias.name) for alias in node.names}
    return names


def check_keywords(tree: ast.Module, names: dict[str, Any]) -> None:
    """Check that functions and configs of this project have the arguments that an example gives them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            arguments = {keyword.arg: None for keyword in node.keywords if keyword.arg}
            inspect.signature(names[node.func.id]).bind(*node.args, **arguments)


class Types:
    """The types of an example's variables, as the library's annotations say."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names, self.variables = names, dict[str, Any]()

    def assign(self, target: ast.expr, kind: Any) -> None:
        if isinstance(target, ast.Name):
            self.variables[target.id] = kind
        elif isinstance(target, ast.Tuple) and get_origin(kind) is tuple:
            for part, part_kind in zip(target.elts, get_args(kind), strict=True):
                self.assign(part, part_kind)

    def infer(self, node: ast.expr) -> Any:
        """Return the type of an expression, or None if it is not known.

        Raises:
            AssertionError: If an attribute does not exist.
        """
        if isinstance(node, ast.Name):
            return self.variables.get(node.id)
        if isinstance(node, ast.Call):
            function = self.names.get(node.func.id) if isinstance(node.func, ast.Name) else self.infer(node.func)
            if isinstance(function, type):
                return function
            return get_type_hints(function).get("return") if inspect.isroutine(function) else None
        if isinstance(node, ast.Attribute):
            owner = self.names.get(node.value.id) if isinstance(node.value, ast.Name) else None
            kind = self.infer(node.value) if owner is None else owner
            return None if kind is None else get_attribute_type(remove_none(kind), node.attr)
        return None


def remove_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (part for part in get_args(kind) if part is not type(None))
    return kind


def get_attribute_type(kind: Any, name: str) -> Any:
    """Return the type of an attribute; a method is returned itself."""
    if not isinstance(kind, type) or not kind.__module__.startswith("shvit_mobile"):
        return None
    fields = get_type_hints(kind)
    assert name in fields or hasattr(kind, name), f"{kind.__name__} has no attribute {name}"
    member = inspect.getattr_static(kind, name, None)
    if isinstance(member, property) and member.fget:
        return get_type_hints(member.fget).get("return")
    return fields[name] if name in fields else getattr(kind, name)


def check_attributes(tree: ast.Module, names: dict[str, Any]) -> None:
    types = Types(names)
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Assign):
            types.assign(statement.targets[0], types.infer(statement.value))
        elif isinstance(statement, ast.For):
            elements = get_args(types.infer(statement.iter))
            types.assign(statement.target, elements[0] if elements else None)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            types.infer(node)


def check_example(text: str) -> None:
    tree = ast.parse(text)
    names = import_names(tree)
    check_keywords(tree, {name: value for name, value in names.items() if "shvit_mobile" in str(value)})
    check_attributes(tree, names)


@pytest.mark.parametrize("block", EXAMPLES, ids=get_id)
def test_an_example_uses_the_library_as_it_is(block: CodeBlock) -> None:
    check_example(block.text)


@pytest.mark.parametrize("block", [block for block in EXAMPLES if block.page in QUICK], ids=get_id)
def test_a_quick_example_runs(block: CodeBlock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, block.page, "exec"), {})


@pytest.mark.parametrize(
    "text",
    [
        "from shvit_mobile import exprot",
        "from shvit_mobile import ExportConfig\nExportConfig(target=['onnx'])",
        "from shvit_mobile import ExportConfig, export\nexport(ExportConfig()).row",
        "from shvit_mobile import ExportConfig, export\nr = export(ExportConfig())\nfor row in r.rows:\n    row.sqnr",
        "from shvit_mobile import calibrate_recipe\nrecipe, more = calibrate_recipe(1, 2)\nrecipe.presicion",
    ],
)
def test_a_wrong_example_is_found(text: str) -> None:
    with pytest.raises((AssertionError, AttributeError, TypeError)):
        check_example(text)


def test_every_block_names_its_language() -> None:
    own = [block for block in list_code_blocks() if not block.page.startswith(("ios_demo", "android_demo"))]
    assert {block.language for block in own} <= LANGUAGES


def test_json_and_toml_blocks_parse() -> None:
    for block in list_code_blocks("json", "toml"):
        (json if block.language == "json" else tomllib).loads(block.text)


def test_the_api_reference_lists_every_public_name() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    documented = {line.rpartition(".")[2] for line in text.splitlines() if line.startswith(":::")}
    assert set(shvit_mobile.__all__) - documented == set()
