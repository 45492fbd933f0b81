"""Every command in the documentation is one that the command line, the tools or the Makefile accept."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import typer

from shvit_mobile.cli.main import app
from tests.docs.markdown import ROOT, iterate_inline_code, list_code_blocks

SHELL_LANGUAGES = ("bash", "")
# Commands of other projects, which are not checked.
FOREIGN = {"cd", "adb", "open", "xcodebuild", "xcrun", "./gradlew", ".venv/bin/pre-commit", "pre-commit"}
SHELL_WORDS = {"do", "done", "then", "fi"}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
# Folders of the repository whose files have to be there when a command names them.
SOURCES = re.compile(r"^(?:\.\./)*((?:shvit_mobile|tools|schemas)/[^*{}]+)$")


def split_commands(text: str) -> Iterator[list[str]]:
    """Split shell text into the words of its simple commands, without comments, redirections and assignments."""
    lexer = shlex.shlex(text.replace("\\\n", " ").replace("\n", "\n; "), posix=True, punctuation_chars=";>|&")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set(";|&"):
            if words and words[0] != "for":
                yield words
            words = []
        elif not (word in SHELL_WORDS and not words) and not (re.match(r"^[A-Z_]+=", word) and not words):
            words.append(word)


def list_documented_commands() -> list[tuple[str, str]]:
    found = []
    for block in list_code_blocks(*SHELL_LANGUAGES):
        for words in split_commands(block.text):
            redirected = words.index(">") if ">" in words else len(words)
            found.append((block.page, shlex.join(words[:redirected])))
    return found


DOCUMENTED = list_documented_commands()


@cache
def read_tool(path: str) -> tuple[str, frozenset[str]]:
    """Return the source of a tool and the option names that Typer makes of its main function's parameters."""
    source = (ROOT / path).read_text(encoding="utf-8")
    mains = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    names = [argument.arg for node in mains for argument in (*node.args.args, *node.args.kwonlyargs)]
    return source, frozenset(f"--{prefix}{name.replace('_', '-')}" for name in names for prefix in ("", "no-"))


def parse_shvit_mobile(words: list[str], *, whole: bool = True) -> None:
    """Parse the words of a command as the command line does; a part of a command may lack arguments."""
    name, *arguments = ["1" if word == "$seed" else word for word in words if word != "$options"]
    assert name in COMMANDS, f"there is no command {name}"
    try:
        COMMANDS[name].make_context(name, arguments)
    except Exception as error:
        incomplete = type(error).__name__ in ("MissingParameter", "BadOptionUsage")
        if whole or not incomplete:
            raise AssertionError(f"{type(error).__name__}: {error}") from error


@pytest.mark.parametrize(("page", "command"), DOCUMENTED)
def test_a_command_is_accepted(page: str, command: str) -> None:
    program, *words = shlex.split(command)
    if program == "taskset":  # -c and a processor, in front of a command
        _, _, program, *words = words
    for word in words:
        source = SOURCES.match(word)
        assert not source or (ROOT / source[1]).exists(), f"{source[1]} does not exist"
    match program:
        case "shvit-mobile" if words[0].startswith("--"):
            assert words[0] in ("--debug", "--version", "--help", "--install-completion")
        case "shvit-mobile":
            parse_shvit_mobile(words)
        case "python" if ".venv/bin/shvit-mobile" in words:  # under a profiler
            parse_shvit_mobile(words[words.index(".venv/bin/shvit-mobile") + 1 :])
        case "python" | "torchrun":
            tool = next(word for word in words if word.endswith(".py"))
            source, options = read_tool(tool.replace("../", ""))
            for word in words[words.index(tool) + 1 :]:
                assert not word.startswith("--") or word in options or f'"{word}"' in source, f"{tool} has no {word}"
        case "make":
            for word in (word for word in words if "=" not in word):
                assert re.search(rf"^{re.escape(word)}:", MAKEFILE, re.MULTILINE), f"the Makefile has no {word}"
        case "pip":
            for extra in re.findall(r"shvit-mobile\[(\w+)\]", command):
                assert extra in PYPROJECT["project"]["optional-dependencies"]
        case _:
            assert program in FOREIGN, f"{program} is not a command of this project"


def test_every_kind_of_command_is_documented() -> None:
    documented = {shlex.split(command)[1] for _, command in DOCUMENTED if command.startswith("shvit-mobile ")}
    assert set(COMMANDS) - {"demo"} <= documented


def test_inline_commands_and_options_exist() -> None:
    options = {name for command in COMMANDS.values() for option in command.params for name in option.opts}
    options |= {name for command in COMMANDS.values() for option in command.params for name in option.secondary_opts}
    options |= {"--debug", "--version", "--help", "--install-completion", "--group"}
    faults = []
    for page, code in iterate_inline_code():
        words = shlex.split(code) if code.count("'") % 2 == 0 and code.count('"') % 2 == 0 else [code]
        tools = [word for word in words if word.endswith(".py")]
        try:
            if words[:1] == ["shvit-mobile"] and len(words) > 1 and not words[1].startswith("--"):
                parse_shvit_mobile(words[1:], whole=False)
            elif words[0] in COMMANDS and len(words) > 1:
                parse_shvit_mobile(words, whole=False)
            elif words[:1] == ["make"] and len(words) > 1:
                assert re.search(rf"^{re.escape(words[1])}:", MAKEFILE, re.MULTILINE), f"the Makefile has no {code}"
            elif tools and words[0] == "python":
                assert (ROOT / tools[0]).exists(), f"{tools[0]} does not exist"
            elif words[0].startswith("--") and not page.startswith(("ios_demo", "android_demo")):
                flags = [word for word in words if word.startswith("--")]
                in_tools = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tools").glob("*.py"))
                for flag in flags:
                    name = flag.removeprefix("--").replace("-", "_")
                    assert flag in options or re.search(rf"^    {name}: ", in_tools, re.MULTILINE), f"no {flag}"
        except AssertionError as fault:
            faults.append(f"{page}: `{code}`: {fault}")
    assert faults == []


@pytest.mark.parametrize(
    "command",
    ["export --target corelm", "export --traget onnx", "calibrate --pass gtpq", "exprot", "inspect --goldens"],
)
def test_a_wrong_command_is_found(command: str) -> None:
    with pytest.raises(AssertionError):
        parse_shvit_mobile(shlex.split(command))
