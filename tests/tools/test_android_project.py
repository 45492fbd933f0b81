"""The Android project's versions are those of the exporter and of the tools that check it."""

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CATALOG = tomllib.loads((ROOT / "android_demo/gradle/libs.versions.toml").read_text())


def test_the_app_runs_programs_on_the_executorch_that_they_are_made_with() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"executorch=={CATALOG['versions']['executorch']}" in dependencies


def test_gradle_would_take_the_compiler_that_the_tests_take() -> None:
    wanted = json.loads((ROOT / "tools/android/package.json").read_text())["devDependencies"]["kotlin-compiler"]
    locked = json.loads((ROOT / "tools/android/package-lock.json").read_text())["packages"]
    assert CATALOG["versions"]["kotlin"] == wanted == locked["node_modules/kotlin-compiler"]["version"]
    assert locked["node_modules/kotlin-compiler"]["integrity"].startswith("sha512-")


def test_every_name_of_the_catalog_that_gradle_files_use_is_defined() -> None:
    scripts = "".join(path.read_text() for path in (ROOT / "android_demo").rglob("*.gradle.kts"))
    used = {name.removesuffix(".get") for name in re.findall(r"\blibs\.([a-z.]+)", scripts)}
    libraries = {name.replace("-", ".") for name in CATALOG["libraries"]}
    plugins = {f"plugins.{name.replace('-', '.')}" for name in CATALOG["plugins"]}
    assert used
    assert used <= libraries | plugins | {f"versions.{name}" for name in CATALOG["versions"]}
    versions = {entry["version"]["ref"] for kind in ("libraries", "plugins") for entry in CATALOG[kind].values()}
    assert versions == set(CATALOG["versions"])
