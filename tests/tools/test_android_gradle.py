"""The check of the Gradle project without a compiler: catalog, modules, rules and wrapper."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tools" / "android"))

from gradle_files import (  # noqa: E402
    BadGradle,
    find_alias_faults,
    find_module_faults,
    find_publication_faults,
    find_rule_faults,
    find_wrapper_faults,
    format_accessors,
    format_script_function,
    read_project,
    write_kotlin_sources,
)

from shvit_mobile.versions import VERSION  # noqa: E402

PROJECT = ROOT / "android_demo"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project's Gradle files and rules."""
    for path in [
        *PROJECT.glob("*.kts"),
        PROJECT / "gradle.properties",
        *PROJECT.glob("*/*.kts"),
        *PROJECT.glob("*/*.pro"),
        *PROJECT.glob("gradle/**/*.*"),
    ]:
        if path.is_file():
            (tmp_path / path.relative_to(PROJECT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / path.relative_to(PROJECT))
    return tmp_path


def find_faults(folder: Path) -> list[str]:
    project = read_project(folder)
    checks = (find_alias_faults, find_module_faults, find_rule_faults, find_wrapper_faults)
    found = [fault for check in checks for fault in check(project)]
    return [*found, *find_publication_faults(project, VERSION)]


def replace_once(path: Path, right: str, wrong: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong), encoding="utf-8")


def test_the_project_is_consistent(copy: Path) -> None:
    assert find_faults(copy) == []


@pytest.mark.parametrize(
    ("file", "right", "wrong", "fault"),
    [
        ("shvit/build.gradle.kts", "libs.executorch.android", "libs.executorch", "libs.executorch is used"),
        ("shvit/build.gradle.kts", "libs.executorch.android", "libs.junit", "libs.executorch.android is defined"),
        ("gradle/libs.versions.toml", 'junit = "4.13.2"\n', "", "The version junit is used"),
        ("gradle/libs.versions.toml", "[libraries]", 'spare = "1"\n[libraries]', "The version spare is defined"),
        ("settings.gradle.kts", '":shvit", ', "", "The module shvit is not included"),
        ("app/build.gradle.kts", 'project(":shvit-camerax")', 'project(":shwit")', "A module depends on shwit"),
        ("app/build.gradle.kts", "minSdk = 26", "minSdk = 24", "minSdk is 24 and 26"),
        ("app/build.gradle.kts", "proguard-rules.pro", "proguard.pro", "app/build.gradle.kts names proguard.pro"),
        ("gradle/wrapper/gradle-wrapper.properties", "gradle-9.6.1", "gradle-9.5.0", "needs Gradle 9.6 or newer"),
        ("gradle/wrapper/gradle-wrapper.properties", "Sha256Sum=", "Sha256Sum=0", "no SHA-256"),
        ("gradle/wrapper/gradle-wrapper.properties", "services.gradle.org", "gradle.example", "from Gradle's site"),
        ("gradle.properties", "version=0.1.0", "version=0.2.0", "does not set the Python package's version"),
        ("gradle.properties", "group=dev.shvit\n", "", "does not set the group"),
        ("build.gradle.kts", "license {", "licence {", "does not name the license"),
        ("app/build.gradle.kts", 'versionName = "0.1.0"', 'versionName = "0.2.0"', "app does not have the Python"),
        ("shvit-core/build.gradle.kts", "    `maven-publish`\n", "", "shvit-core cannot be published: `maven-publish`"),
        ("shvit/build.gradle.kts", "withSourcesJar()", "", "shvit cannot be published: withSourcesJar()"),
        (
            "shvit-camerax/build.gradle.kts",
            'components["release"]',
            'components["debug"]',
            "shvit-camerax cannot be published",
        ),
        ("gradle/libs.versions.toml", 'android = "9.4.1"', 'android = "10.0.0"', "LEAST_GRADLE does not list"),
    ],
)
def test_an_inconsistency_is_a_fault(copy: Path, file: str, right: str, wrong: str, fault: str) -> None:
    replace_once(copy / file, right, wrong)
    assert any(fault in sentence for sentence in find_faults(copy)), find_faults(copy)


def test_a_catalog_that_is_not_toml_is_rejected(copy: Path) -> None:
    replace_once(copy / "gradle/libs.versions.toml", "[versions]", "[versions")
    with pytest.raises(BadGradle, match="not TOML"):
        read_project(copy)


def test_every_script_becomes_an_extension_function(tmp_path: Path) -> None:
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


def test_accessors_have_dots_instead_of_hyphens() -> None:
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


def test_the_wrapper_equals_the_published_one() -> None:
    """The checksum is Gradle 9.4's in gradle.org/release-checksums."""
    from hashlib import sha256

    jar = (PROJECT / "gradle/wrapper/gradle-wrapper.jar").read_bytes()
    assert sha256(jar).hexdigest() == "55243ef57851f12b070ad14f7f5bb8302daceeebc5bce5ece5fa6edb23e1145c"
    assert (PROJECT / "gradlew").stat().st_mode & 0o100
