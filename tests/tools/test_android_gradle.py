"""What the check of the Gradle project finds without a compiler: catalog, modules, rules and wrapper."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tools" / "android"))

from gradle_files import (  # noqa: E402
    BadGradle,
    format_accessors,
    find_alias_faults,
    format_script_function,
    find_module_faults,
    read_project,
    find_rule_faults,
    find_wrapper_faults,
    write_kotlin_sources,
)

PROJECT = ROOT / "android_demo"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's Gradle files and rules alone."""
    for path in [
        *PROJECT.glob("*.kts"),
        *PROJECT.glob("*/*.kts"),
        *PROJECT.glob("*/*.pro"),
        *PROJECT.glob("gradle/**/*.*"),
    ]:
        if path.is_file():
            (tmp_path / path.relative_to(PROJECT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / path.relative_to(PROJECT))
    return tmp_path


def find_faults(folder: Path) -> list[str]:
    found = read_project(folder)
    return [
        *find_alias_faults(found),
        *find_module_faults(found),
        *find_rule_faults(found),
        *find_wrapper_faults(found),
    ]


def replace_once(path: Path, right: str, wrong: str) -> None:
    text = path.read_text()
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong))


def test_the_project_agrees_with_itself(copy: Path) -> None:
    assert find_faults(copy) == []


@pytest.mark.parametrize(
    ("file", "right", "wrong", "fault"),
    [
        ("shvit/build.gradle.kts", "libs.executorch.android", "libs.executorch", "libs.executorch is used"),
        ("shvit/build.gradle.kts", "libs.executorch.android", "libs.junit", "libs.executorch.android is defined"),
        ("gradle/libs.versions.toml", 'junit = "4.13.2"\n', "", "The version junit is referred to"),
        ("gradle/libs.versions.toml", "[libraries]", 'spare = "1"\n[libraries]', "The version spare is defined"),
        ("settings.gradle.kts", '":shvit", ', "", "The module shvit is there"),
        ("app/build.gradle.kts", 'project(":shvit")', 'project(":shwit")', "A module depends on shwit"),
        ("app/build.gradle.kts", "minSdk = 26", "minSdk = 24", "minSdk is 24 and 26"),
        ("app/build.gradle.kts", "proguard-rules.pro", "proguard.pro", "app/build.gradle.kts names proguard.pro"),
        ("gradle/wrapper/gradle-wrapper.properties", "gradle-9.6.1", "gradle-9.5.0", "needs Gradle 9.6 or newer"),
        ("gradle/wrapper/gradle-wrapper.properties", "Sha256Sum=", "Sha256Sum=0", "no SHA-256"),
        ("gradle/wrapper/gradle-wrapper.properties", "services.gradle.org", "gradle.example", "of Gradle's own"),
        ("gradle/libs.versions.toml", 'android = "9.4.1"', 'android = "10.0.0"', "Nobody wrote down"),
    ],
)
def test_a_contradiction_is_told(copy: Path, file: str, right: str, wrong: str, fault: str) -> None:
    replace_once(copy / file, right, wrong)
    assert any(fault in told for told in find_faults(copy)), find_faults(copy)


def test_a_catalog_that_is_no_toml_is_refused(copy: Path) -> None:
    replace_once(copy / "gradle/libs.versions.toml", "[versions]", "[versions")
    with pytest.raises(BadGradle, match="no TOML"):
        read_project(copy)


def test_every_script_becomes_a_function_on_what_gradle_hands_it(tmp_path: Path) -> None:
    names = {path.name for path in write_kotlin_sources(read_project(PROJECT), tmp_path / "scripts")}
    kinds = {"ApplicationScript.kt", "LibraryScript.kt", "JvmScript.kt"}
    assert names == {"Libs.kt", "Settings.kt", "Root.kt", *kinds}
    lines = format_script_function("import a.B\n\nplugins {\n}", "RootScript", "root").splitlines()
    assert lines == [
        "package scripts.root",
        "import gradle.*",
        "import a.B",
        "fun RootScript.script() {",
        "",
        "plugins {",
        "}",
        "}",
    ]


def test_accessors_have_dots_where_aliases_have_hyphens() -> None:
    catalog = {
        "versions": {"tool-kit": "1.0"},
        "libraries": {"a-b": {"module": "x:y"}, "a-c": {"module": "x:z"}},
        "plugins": {"p": {"id": "q"}},
    }
    text = " ".join(format_accessors(catalog).split())
    assert 'object libs { object a { val b = Library("x:y") val c = Library("x:z") }' in text
    assert (
        'object plugins { val p = PluginAlias("q") } object versions { object tool { val kit = Provider("1.0") } } }'
        in text
    )


def test_the_wrapper_is_the_one_that_gradle_publishes() -> None:
    """Its checksums: gradle.org/release-checksums for the jar, which is that of Gradle 9.4."""
    from hashlib import sha256

    jar = (PROJECT / "gradle/wrapper/gradle-wrapper.jar").read_bytes()
    assert sha256(jar).hexdigest() == "55243ef57851f12b070ad14f7f5bb8302daceeebc5bce5ece5fa6edb23e1145c"
    assert (PROJECT / "gradlew").stat().st_mode & 0o100
