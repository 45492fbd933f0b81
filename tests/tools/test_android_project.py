"""What no compiler sees of the Android project: its versions, its catalog, its modules and its texts."""

import json
import re
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PROJECT = ROOT / "android_demo"
RESOURCES = PROJECT / "app/src/main/res"
SCRIPTS = {path.parent.name: path.read_text() for path in PROJECT.glob("*/build.gradle.kts")}
CATALOG = tomllib.loads((ROOT / "android_demo/gradle/libs.versions.toml").read_text())


def test_the_app_runs_programs_on_the_executorch_that_they_are_made_with() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"executorch=={CATALOG['versions']['executorch']}" in dependencies


def test_gradle_would_take_the_compiler_that_the_tests_take() -> None:
    wanted = json.loads((ROOT / "tools/android/package.json").read_text())["devDependencies"]["kotlin-compiler"]
    locked = json.loads((ROOT / "tools/android/package-lock.json").read_text())["packages"]
    assert CATALOG["versions"]["kotlin"] == wanted == locked["node_modules/kotlin-compiler"]["version"]
    assert locked["node_modules/kotlin-compiler"]["integrity"].startswith("sha512-")


def test_modules_are_built_with_and_for_what_the_project_says() -> None:
    for name in ("shvit", "app"):
        assert re.findall(r"(compileSdk|minSdk) = (\d+)", SCRIPTS[name]) == [("compileSdk", "36"), ("minSdk", "26")]


def test_the_app_shows_every_text_that_it_has_and_has_none_outside_its_resources() -> None:
    strings = ET.parse(RESOURCES / "values/strings.xml").getroot()
    names = {element.get("name", "") for element in strings}
    kotlin = "".join(path.read_text() for path in (PROJECT / "app/src/main").rglob("*.kt"))
    xml = {path: path.read_text() for path in (PROJECT / "app/src/main").rglob("*.xml")}
    shown = set(re.findall(r"\bR\.(?:string|plurals)\.(\w+)", kotlin))
    shown |= set(re.findall(r"@string/(\w+)", "".join(xml.values())))
    assert names == shown
    for path, text in xml.items():
        for attribute in ("text", "title", "label", "contentDescription"):
            literal = re.findall(rf'android:{attribute}="(?!@)([^"]+)"', text)
            assert not literal, f"{path.name}: {literal}"


def test_text_grows_with_the_size_that_a_person_chose() -> None:
    for path in RESOURCES.rglob("*.xml"):
        sizes = re.findall(r'textSize(?:="|">)([^"<]+)', path.read_text())
        assert all(size.endswith("sp") for size in sizes), path.name


def test_colours_of_the_night_are_those_of_the_day() -> None:
    day, night = (
        {element.get("name") for element in ET.parse(RESOURCES / folder / "colors.xml").getroot()}
        for folder in ("values", "values-night")
    )
    # The icon's background is the same at night.
    assert night < day
    assert all(name and name.startswith("icon_") for name in day - night)
