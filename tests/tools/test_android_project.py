"""Properties of the Android project that no compiler checks: versions, catalog, modules and texts."""

import json
import re
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PROJECT = ROOT / "android_demo"
RESOURCES = PROJECT / "app/src/main/res"
SCRIPTS = {path.parent.name: path.read_text(encoding="utf-8") for path in PROJECT.glob("*/build.gradle.kts")}
CATALOG = tomllib.loads((ROOT / "android_demo/gradle/libs.versions.toml").read_text(encoding="utf-8"))


def test_the_app_runs_programs_on_the_executorch_that_they_are_made_with() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert extras["executorch"] == [f"executorch=={CATALOG['versions']['executorch']}"]


def test_gradle_and_the_tests_use_the_same_compiler() -> None:
    wanted = json.loads((ROOT / "tools/android/package.json").read_text(encoding="utf-8"))["devDependencies"][
        "kotlin-compiler"
    ]
    locked = json.loads((ROOT / "tools/android/package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert CATALOG["versions"]["kotlin"] == wanted == locked["node_modules/kotlin-compiler"]["version"]
    assert locked["node_modules/kotlin-compiler"]["integrity"].startswith("sha512-")


def test_modules_have_the_projects_sdk_levels() -> None:
    for name in ("shvit", "app"):
        assert re.findall(r"(compileSdk|minSdk) = (\d+)", SCRIPTS[name]) == [("compileSdk", "36"), ("minSdk", "26")]


def test_every_text_is_a_resource_and_every_resource_is_used() -> None:
    strings = ET.parse(RESOURCES / "values/strings.xml").getroot()
    names = {element.get("name", "") for element in strings}
    kotlin = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "app/src/main").rglob("*.kt"))
    xml = {path: path.read_text(encoding="utf-8") for path in (PROJECT / "app/src/main").rglob("*.xml")}
    shown = set(re.findall(r"\bR\.(?:string|plurals)\.(\w+)", kotlin))
    shown |= set(re.findall(r"@string/(\w+)", "".join(xml.values())))
    assert names == shown
    for path, text in xml.items():
        for attribute in ("text", "title", "label", "contentDescription"):
            literal = re.findall(rf'android:{attribute}="(?!@)([^"]+)"', text)
            assert not literal, f"{path.name}: {literal}"


def test_text_sizes_follow_the_system_setting() -> None:
    for path in RESOURCES.rglob("*.xml"):
        sizes = re.findall(r'textSize(?:="|">)([^"<]+)', path.read_text(encoding="utf-8"))
        assert all(size.endswith("sp") for size in sizes), path.name


def test_dark_mode_defines_the_same_colors() -> None:
    day, night = (
        {element.get("name") for element in ET.parse(RESOURCES / folder / "colors.xml").getroot()}
        for folder in ("values", "values-night")
    )
    # The icon's background is the same in dark mode.
    assert night < day
    assert all(name and name.startswith("icon_") for name in day - night)


def test_only_the_shell_may_start_a_benchmark_and_profile_the_app() -> None:
    android = "{http://schemas.android.com/apk/res/android}"
    app = ET.parse(PROJECT / "app/src/main/AndroidManifest.xml").getroot()[-1]
    benchmark = next(each for each in app.iter("activity") if each.get(f"{android}name") == ".BenchmarkActivity")
    assert benchmark.get(f"{android}permission") == "android.permission.DUMP"
    profileable = app.find("profileable")
    assert profileable is not None
    assert profileable.get(f"{android}shell") == "true"
