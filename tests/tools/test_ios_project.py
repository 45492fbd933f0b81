"""The check of the Xcode project finds what would keep Xcode from opening, building or running it."""

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

Change = Callable[[Path], None]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy that may be broken, with the folders around it and none of what lies in them but packages and icons."""
    demo = PROJECT.parent
    shutil.copytree(PROJECT, tmp_path / PROJECT.name)
    for name in ("SHViTDemo/Models", "SHViTDemoTests", "SHViTDemoPerformanceTests", "SHViTKit"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copytree(demo / "SHViTDemo/Assets.xcassets", tmp_path / "SHViTDemo/Assets.xcassets")
    shutil.copy(demo / "SHViTKit/Package.swift", tmp_path / "SHViTKit")
    return tmp_path / PROJECT.name


def make_replacement(file: str, pattern: str, new: str) -> Change:
    """Changes the first place that fits, which there has to be."""

    def change(project: Path) -> None:
        text, count = re.subn(pattern, new, (project / file).read_text(), count=1)
        assert count == 1
        (project / file).write_text(text)

    return change


def write_small_icon(project: Path) -> None:
    icon = project.parent / "SHViTDemo/Assets.xcassets/AppIcon.appiconset/icon.png"
    Image.new("RGBA", (512, 512)).save(icon)


OBJECTS = "project.pbxproj"
SCHEME = "xcshareddata/xcschemes/SHViTDemo.xcscheme"


def test_the_project_as_it_is_has_no_problem() -> None:
    assert find_problems(PROJECT) == []


def test_versions_that_stand_in_several_places_are_one() -> None:
    kit = PROJECT.parent / "SHViTKit"
    project = tomllib.loads((PROJECT.parents[1] / "pyproject.toml").read_text())["project"]
    settings = [
        found.get("buildSettings", {}) for found in parse_project((PROJECT / OBJECTS).read_text())["objects"].values()
    ]
    own = re.findall(r'text = "(.+)"', (kit / "Sources/SHViTKit/SHViTKitVersion.swift").read_text())
    marketed = [found["MARKETING_VERSION"] for found in settings if "MARKETING_VERSION" in found]
    assert {*own, *marketed} == {project["version"]}

    fetched = re.findall(r'branch: "swiftpm-(.+)"', (kit / "Package.swift").read_text())
    told = re.findall(r'version = "(.+)"', (kit / "Sources/SHViTKitExecuTorch/ExecuTorchClassifier.swift").read_text())
    (exporter,) = (part for part in project["dependencies"] if part.startswith("executorch"))
    assert [f"executorch=={version}" for version in (*fetched, *told)] == [exporter] * 2


def test_models_are_copied_as_they_are() -> None:
    objects = parse_project((PROJECT / OBJECTS).read_text())["objects"].values()
    folders = [folder for found in objects for folder in found.get("explicitFolders", [])]
    assert folders == ["Models"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (make_replacement(OBJECTS, r"mainGroup = (\w{22})\w\w", r"mainGroup = \1EE"), "EE, which is not there"),
        (make_replacement(OBJECTS, r"(targets = \(\n.*\n).*\n", r"\1"), "Nothing uses"),
        (make_replacement(OBJECTS, "path = SHViTDemoTests;", "path = Elsewhere;"), "There is no folder Elsewhere"),
        (lambda project: (project.parent / "SHViTDemo/Models").rmdir(), "There is no folder SHViTDemo/Models"),
        (make_replacement(OBJECTS, "relativePath = SHViTKit", "relativePath = Kit"), "no Swift package in Kit"),
        (make_replacement(OBJECTS, "productName = SHViTDemoCore", "productName = DemoCore"), "no package has"),
        (make_replacement(OBJECTS, r'\t+INFOPLIST_KEY_NSCameraUsageDescription = .*\n', ""), "no INFOPLIST_KEY_NSCamera"),
        (make_replacement(SCHEME, 'BlueprintName = "SHViTDemo"', 'BlueprintName = "Demo"'), "Demo is no target"),
        (make_replacement(SCHEME, 'BuildableName = "SHViTDemo.app"', 'BuildableName = "Demo.app"'), "does not make Demo.app"),
        (make_replacement(SCHEME, "container:SHViTDemo", "container:Demo"), "is in container:Demo.xcodeproj"),
        (make_replacement(SCHEME, '"Release"', '"Fast"'), "wants the configuration Fast"),
        (make_replacement(SCHEME, r"(?s)<TestableReference.*?</TestableReference>", ""), "tests of SHViTDemoTests are not run"),
        (lambda project: (project / SCHEME).unlink(), "no shared scheme"),
        (make_replacement(OBJECTS, "APPICON_NAME = AppIcon", "APPICON_NAME = Icon"), "no icon Icon.appiconset"),
        (write_small_icon, "not an opaque square"),
    ],
)  # fmt: skip
def test_each_mistake_is_found(project: Path, change: Change, told: str) -> None:
    assert find_problems(project) == []
    change(project)
    assert told.lower() in " ".join(find_problems(project)).lower()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{ a = 1; a = 2; }", "key a for the second time"),
        ("{ a = 1 }", "'}' in place of ';'"),
        ("{ a 1; }", "'1' in place of '='"),
        ("{\n a = (1 2);\n}", "Line 2 has '2' in place of ','"),
        ("{ a = ; }", "';' in place of a value"),
        ("{ a = é%; }", "which means nothing there"),
        ("{ a = (1,", "'the end' in place of a value"),
        ("(1)", "no dictionary"),
        ("{} {}", "'{' in place of 'the end'"),
    ],
)
def test_what_breaks_the_grammar_is_refused(source: str, told: str) -> None:
    with pytest.raises(NotAProject, match=re.escape(told)):
        parse_project(source)


def test_texts_lists_and_comments_are_read() -> None:
    source = '// !$*UTF8*$!\n{ a /* b */ = "x \\"y\\"\\n"; c = (1, (), ); d = { e = ";"; }; }'
    assert parse_project(source) == {"a": 'x "y"\n', "c": ["1", []], "d": {"e": ";"}}


def test_the_tool_ends_with_what_is_wrong(project: Path) -> None:
    tool = [sys.executable, check_project.__file__, str(project)]
    assert subprocess.run(tool, capture_output=True, check=False).returncode == 0
    (project / SCHEME).unlink()
    broken = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert broken.returncode == 1
    assert "error: SHViTDemo.xcodeproj: There is no shared scheme." in broken.stderr
    (project / OBJECTS).write_text("{")
    unreadable = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert unreadable.returncode == 1
    assert "Traceback" not in unreadable.stderr
