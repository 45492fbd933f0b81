"""The code keeps the structure that newcomers rely on: names, layers' words, and the public interface."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import shvit_mobile

ROOT = Path(__file__).parents[1]
# Verbs that only look like participles.
VERBS = {"embed", "feed", "need", "seed", "read", "bring", "string"}
# fmt: off
IRREGULAR = {
    "beaten", "begun", "bound", "brought", "built", "done", "drawn", "driven", "fed", "felt", "found", "given",
    "gone", "grown", "held", "hidden", "kept", "known", "laid", "left", "lent", "lost", "made", "meant", "met",
    "paid", "said", "seen", "sent", "shown", "sold", "spent", "stood", "taken", "taught", "thought", "told",
    "understood", "won", "worn", "written",
}
# fmt: on
# Functions that keep such a name, and why.
EXCEPTIONS: dict[str, str] = {
    "shvit_mobile/runtimes/mil/activations.py:clamped_relu": "MIL's name",
    "shvit_mobile/runtimes/mil/activations.py:thresholded_relu": "MIL's name",
    "shvit_mobile/runtimes/mil/products.py:scaled_dot_product_attention": "MIL's name",
}
# Commands that set the machine up are the same for a Python user.
SETUP = re.compile(r"(pip install|shvit-mobile doctor|xcode-select|apt-get)[^.:;]*")


def list_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def iterate_functions(path: Path) -> Iterator[ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in tree.body if isinstance(node, ast.FunctionDef))


def is_participle(name: str) -> bool:
    first = name.strip("_").split("_")[0]
    return first not in VERBS and (first in IRREGULAR or first.endswith(("ed", "ing")))


def test_functions_are_not_named_with_participles() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{function.name}"
        for path in list_files("shvit_mobile", "cli", "tools")
        for function in iterate_functions(path)
        if is_participle(function.name)
    }
    assert found == set(EXCEPTIONS), sorted(found ^ set(EXCEPTIONS))


@pytest.mark.parametrize("name", ["folded", "told", "following", "_made", "taken_back"])
def test_a_participle_is_recognized(name: str) -> None:
    assert is_participle(name)
    assert not is_participle("embed_artifacts")


def test_texts_of_the_library_name_parameters_and_not_flags() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}"
        for path in list_files("shvit_mobile")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Raise)
        for node in ast.walk(call)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.search(r"(?<![\w-])--[a-z]", SETUP.sub("", node.value))
    ]
    assert not found, "\n".join(found)


# Names that a SHViT's layers have, as words of a path. Others are common: "proj", "conv", "head".
SHVIT_NAMES = re.compile(
    r"(?<![\w])(patch_embed|head_dist|pre_norm|qkv|mixer|token_mixer|pw1|pw2|conv_merge|"
    r"se\.fc\d|downsample\.\d|blocks[1-3]|stages\.\d)(?!\w)"
)
SHVIT_MODULES = ("shvit_mobile.families.shvit", "shvit_mobile.families.shvit_family")


def find_strings(path: Path) -> Iterator[ast.Constant]:
    """Yield the strings of a file without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, described) and is_doc(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


def is_doc(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return bool(node.body) and isinstance(node.body[0], ast.Expr)


def list_files_of_no_family() -> list[Path]:
    return [path for path in list_files("shvit_mobile", "cli") if path.parent.name != "families"]


def test_only_families_name_layers_of_a_shvit() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}"
        for path in list_files_of_no_family()
        for node in find_strings(path)
        if SHVIT_NAMES.search(str(node.value))
    ]
    assert not found, "\n".join(found)


def test_only_families_import_a_shvit() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in list_files_of_no_family()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and node.module in SHVIT_MODULES)
        or (isinstance(node, ast.Import) and any(alias.name in SHVIT_MODULES for alias in node.names))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", ["patch_embed.0", "stages.1.blocks.0.mixer.m.qkv", ".se.fc1", "head_dist.l.weight"])
def test_a_name_of_a_layer_is_recognized(name: str) -> None:
    assert SHVIT_NAMES.search(name)
    assert not SHVIT_NAMES.search("model.blocks.0.0.conv_pw, the head of a backbone, stages of a frame")


def test_every_public_name_can_be_imported_and_is_documented() -> None:
    for name in shvit_mobile.__all__:
        assert getattr(shvit_mobile, name).__doc__, name


def test_text_of_files_and_programs_has_an_encoding() -> None:
    """Ruff's PLW1514 sees only those calls whose type it can tell, and no programs."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in list_files("shvit_mobile", "cli", "tools", "tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and is_text_without_encoding(node)
    ]
    assert not found, "\n".join(found)


def is_text_without_encoding(call: ast.Call) -> bool:
    options = {option.arg for option in call.keywords}
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    reads = (name == "read_text" and not call.args) or (name == "write_text" and len(call.args) == 1)
    return "encoding" not in options and (reads or ("text" in options and name in ("run", "Popen")))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("p.read_text()", True),
        ("p.write_text('x')", True),
        ("subprocess.run(['ls'], text=True)", True),
        ("p.read_text(encoding='utf-8')", False),
        ("p.read_text('utf-8')", False),
        ("read_text(p, what='a recipe')", False),
        ("subprocess.run(['ls'])", False),
    ],
)
def test_a_text_without_encoding_is_recognized(call: str, expected: bool) -> None:
    parsed = ast.parse(call, mode="eval").body
    assert isinstance(parsed, ast.Call)
    assert is_text_without_encoding(parsed) == expected
