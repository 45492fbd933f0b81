"""The check of the Xcode project finds errors that would keep Xcode from opening, building or running it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import check_project
import pytest
from check_project import PROJECT, find_problems
from PIL import Image
from project_file import NotAProject, parse_project

from shvit_mobile.versions import VERSION

Change = Callable[[Path], None]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with the folders around it, which are empty except for packages and icons."""
    demo, copy = PROJECT.parent, tmp_path / "ios_demo"
    shutil.copytree(PROJECT, copy / PROJECT.name)
    for name in ("SHViTDemo/Models", "SHViTDemoTests", "SHViTDemoPerformanceTests"):
        (copy / name).mkdir(parents=True)
    shutil.copytree(demo / "SHViTDemo/Assets.xcassets", copy / "SHViTDemo/Assets.xcassets")
    shutil.copy(demo.parent / "Package.swift", tmp_path)
    return copy / PROJECT.name


def replace(file: str, pattern: str, new: str) -> Change:
    """Return a change that replaces the first match of a pattern."""

    def change(project: Path) -> None:
        text, count = re.subn(pattern, new, (project / file).read_text(encoding="utf-8"), count=1)
        assert count == 1
        (project / file).write_text(text, encoding="utf-8")

    return change


def write_small_icon(project: Path) -> None:
    icon = project.parent / "SHViTDemo/Assets.xcassets/AppIcon.appiconset/icon.png"
    Image.new("RGBA", (512, 512)).save(icon)


OBJECTS = "project.pbxproj"
SCHEME = "xcshareddata/xcschemes/SHViTDemo.xcscheme"


def test_the_project_has_no_problem() -> None:
    assert find_problems(PROJECT) == []


def test_versions_in_several_files_are_equal() -> None:
    kit = PROJECT.parent / "SHViTKit"
    project = tomllib.loads((PROJECT.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    settings = [
        found.get("buildSettings", {})
        for found in parse_project((PROJECT / OBJECTS).read_text(encoding="utf-8"))["objects"].values()
    ]
    own = re.findall(r'text = "(.+)"', (kit / "Sources/SHViTKit/SHViTKitVersion.swift").read_text(encoding="utf-8"))
    marketed = [found["MARKETING_VERSION"] for found in settings if "MARKETING_VERSION" in found]
    assert {*own, *marketed} == {VERSION}

    manifest = (PROJECT.parents[1] / "Package.swift").read_text(encoding="utf-8")
    fetched = re.findall(r"/executorch/\S+-(.+)\.zip", manifest)
    linked = re.findall(
        r'version = "(.+)"', (kit / "Sources/SHViTKitExecuTorch/ExecuTorchRunner.swift").read_text(encoding="utf-8")
    )
    (exporter,) = project["optional-dependencies"]["executorch"]
    assert [f"executorch=={version}" for version in (*fetched, *linked)] == [exporter] * 2


def test_models_are_copied_as_they_are() -> None:
    objects = parse_project((PROJECT / OBJECTS).read_text(encoding="utf-8"))["objects"].values()
    folders = [folder for found in objects for folder in found.get("explicitFolders", [])]
    assert folders == ["Models"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (replace(OBJECTS, r"mainGroup = (\w{22})\w\w", r"mainGroup = \1EE"), "EE, which does not exist"),
        (replace(OBJECTS, r"(targets = \(\n.*\n).*\n", r"\1"), "Nothing uses"),
        (replace(OBJECTS, "path = SHViTDemoTests;", "path = Elsewhere;"), "There is no folder Elsewhere"),
        (lambda project: (project.parent / "SHViTDemo/Models").rmdir(), "There is no folder SHViTDemo/Models"),
        (replace(OBJECTS, r"relativePath = \.\.", "relativePath = Kit"), "no Swift package in Kit"),
        (replace(OBJECTS, "productName = SHViTDemoCore", "productName = DemoCore"), "no package has"),
        (replace(OBJECTS, r'\t+INFOPLIST_KEY_NSCameraUsageDescription = .*\n', ""), "no INFOPLIST_KEY_NSCamera"),
        (replace(SCHEME, 'BlueprintName = "SHViTDemo"', 'BlueprintName = "Demo"'), "Demo is not a target"),
        (replace(SCHEME, 'BuildableName = "SHViTDemo.app"', 'BuildableName = "Demo.app"'), "does not build Demo.app"),
        (replace(SCHEME, "container:SHViTDemo", "container:Demo"), "is in container:Demo.xcodeproj"),
        (replace(SCHEME, '"Release"', '"Fast"'), "names the configuration Fast"),
        (replace(SCHEME, r"(?s)<TestableReference.*?</TestableReference>", ""), "tests of SHViTDemoTests are not run"),
        (lambda project: (project / SCHEME).unlink(), "no shared scheme"),
        (replace(OBJECTS, "APPICON_NAME = AppIcon", "APPICON_NAME = Icon"), "no icon Icon.appiconset"),
        (write_small_icon, "not an opaque square"),
    ],
)  # fmt: skip
def test_each_error_is_found(project: Path, change: Change, problem: str) -> None:
    assert find_problems(project) == []
    change(project)
    assert problem.lower() in " ".join(find_problems(project)).lower()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{ a = 1; a = 2; }", "duplicate key a"),
        ("{ a = 1 }", "'}' instead of ';'"),
        ("{ a 1; }", "'1' instead of '='"),
        ("{\n a = (1 2);\n}", "Line 2 has '2' instead of ','"),
        ("{ a = ; }", "';' instead of a value"),
        ("{ a = é%; }", "has an unexpected"),
        ("{ a = (1,", "'the end' instead of a value"),
        ("(1)", "not a dictionary"),
        ("{} {}", "'{' instead of 'the end'"),
    ],
)
def test_invalid_syntax_is_rejected(source: str, message: str) -> None:
    with pytest.raises(NotAProject, match=re.escape(message)):
        parse_project(source)


def test_texts_lists_and_comments_are_parsed() -> None:
    source = '// !$*UTF8*$!\n{ a /* b */ = "x \\"y\\"\\n"; c = (1, (), ); d = { e = ";"; }; }'
    assert parse_project(source) == {"a": 'x "y"\n', "c": ["1", []], "d": {"e": ";"}}


def test_the_tool_prints_problems_and_exits_with_1(project: Path) -> None:
    tool = [sys.executable, check_project.__file__, str(project)]
    assert subprocess.run(tool, capture_output=True, check=False).returncode == 0
    (project / SCHEME).unlink()
    broken = subprocess.run(tool, capture_output=True, text=True, check=False, encoding="utf-8")
    assert broken.returncode == 1
    assert "error: SHViTDemo.xcodeproj: There is no shared scheme." in broken.stderr
    (project / OBJECTS).write_text("{", encoding="utf-8")
    unreadable = subprocess.run(tool, capture_output=True, text=True, check=False, encoding="utf-8")
    assert unreadable.returncode == 1
    assert "Traceback" not in unreadable.stderr
