"""What lies in a folder is recognised as an iOS or an Android app, with its models and its runtimes."""

from __future__ import annotations

from pathlib import Path

import pytest

from shvit_mobile.apps.projects import open_app
from shvit_mobile.errors import BadApp
from tests.apps.builders import BUILD, PROJECT, RESOLVED, android_app, ios_app, written

FRAMEWORKS = '.binaryTarget(url: "https://ossci-ios.s3.amazonaws.com/executorch/\\(name)-1.3.0.zip", checksum: sum)'
LOCAL_PACKAGE = "541 = { isa = XCLocalSwiftPackageReference;\n\t\t\trelativePath = ..;\n\t\t};"


def versions(root: Path) -> list[str]:
    return [pin.version for pin in open_app(root).pins]


def test_an_ios_app_keeps_models_beside_its_sources(tmp_path: Path) -> None:
    app = open_app(ios_app(tmp_path))
    assert (app.kind, app.models) == ("ios", tmp_path / "Demo" / "Models")
    assert [(pin.file, pin.version) for pin in app.pins] == [(tmp_path / "Kit" / "Package.swift", "1.4.1")]


def test_an_android_app_keeps_models_in_the_assets_of_its_module(tmp_path: Path) -> None:
    app = open_app(android_app(tmp_path))
    assert (app.kind, app.models) == ("android", tmp_path / "app" / "src" / "main" / "assets" / "models")
    assert [(pin.file, pin.version) for pin in app.pins] == [(tmp_path / "gradle" / "libs.versions.toml", "1.4.1")]


def test_a_folder_of_models_that_is_there_is_taken(tmp_path: Path) -> None:
    written(tmp_path / "Kit" / "Package.swift", "")
    assert open_app(tmp_path).models == tmp_path / "Models"
    (tmp_path / "SHViTDemo" / "Models").mkdir(parents=True)
    assert open_app(tmp_path).models == tmp_path / "SHViTDemo" / "Models"
    (tmp_path / "Other" / "Models").mkdir(parents=True)
    with pytest.raises(BadApp, match="not clear where"):
        open_app(tmp_path)


def test_the_module_that_builds_an_application_holds_the_assets(tmp_path: Path) -> None:
    written(tmp_path / "settings.gradle", "")
    written(tmp_path / "core" / "build.gradle.kts", 'plugins { id("com.android.library") }\n')
    with pytest.raises(BadApp, match="not clear which module"):
        open_app(tmp_path)
    written(tmp_path / "phone" / "build.gradle.kts", BUILD)
    assert open_app(tmp_path).models.is_relative_to(tmp_path / "phone")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("Demo.xcodeproj/project.pbxproj", PROJECT.format(version="1.3.0")),
        ("Package.resolved", RESOLVED.format(version="1.3.0")),
        ("Kit/Package.resolved", RESOLVED.format(version="1.3.0")),
        ("Demo.xcodeproj/project.xcworkspace/xcshareddata/swiftpm/Package.resolved", RESOLVED.format(version="1.3.0")),
        ("Kit/Package.swift", '.package(url: "https://github.com/pytorch/executorch", exact: "1.3.0")'),
        ("Kit/Package.swift", FRAMEWORKS),
    ],
)
def test_executorch_is_found_wherever_xcode_and_swift_write_it(tmp_path: Path, file: str, text: str) -> None:
    ios_app(tmp_path, version=None)
    assert versions(tmp_path) == []
    written(tmp_path / file, text)
    assert versions(tmp_path) == ["1.3.0"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("app/build.gradle.kts", 'dependencies { implementation("org.pytorch:executorch-android:1.3.0") }'),
        ("app/build.gradle", "implementation 'org.pytorch:executorch-android-vulkan:1.3.0'"),
        ("core/build.gradle.kts", 'api("org.pytorch:executorch-android:1.3.0")'),
        ("gradle/libs.versions.toml", '[libraries]\net = "org.pytorch:executorch-android:1.3.0"'),
        (
            "gradle/libs.versions.toml",
            '[libraries]\net = {group="org.pytorch",name="executorch-android",version="1.3.0"}',
        ),
        ("gradle/libs.versions.toml", '[versions]\nexecutorch = "1.3.0"'),
    ],
)
def test_executorch_is_found_wherever_gradle_has_it(tmp_path: Path, file: str, text: str) -> None:
    android_app(tmp_path, version=None)
    assert versions(tmp_path) == []
    written(tmp_path / file, text)
    assert versions(tmp_path) == ["1.3.0"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("app/build.gradle.kts", 'dependencies { implementation("com.google.ai.edge.litert:litert:2.1.6") }'),
        ("core/build.gradle", "api 'com.google.ai.edge.litert:litert:2.1.6'"),
        ("gradle/libs.versions.toml", '[libraries]\nlite = "com.google.ai.edge.litert:litert:2.1.6"'),
        (
            "gradle/libs.versions.toml",
            '[versions]\nlite = "2.1.6"\n'
            '[libraries]\nlite = {module="com.google.ai.edge.litert:litert",version.ref="lite"}',
        ),
    ],
)
def test_litert_is_found_beside_executorch(tmp_path: Path, file: str, text: str) -> None:
    android_app(tmp_path, version=None)
    written(tmp_path / "app" / "build.gradle", 'api("org.pytorch:executorch-android:1.3.0")')
    written(tmp_path / file, text)
    assert sorted((pin.target, pin.version) for pin in open_app(tmp_path).pins) == [
        ("executorch", "1.3.0"),
        ("litert", "2.1.6"),
    ]


def test_libraries_around_litert_are_not_the_runtime(tmp_path: Path) -> None:
    android_app(tmp_path, version=None)
    modules = ("litert-support:1.4.0", "litert-api:2.3.0", "litert-gpu:2.3.0")
    written(tmp_path / "app/build.gradle", "".join(f"api 'com.google.ai.edge.litert:{one}'\n" for one in modules))
    assert versions(tmp_path) == []


def test_executorch_is_found_in_a_package_that_the_project_refers_to(tmp_path: Path) -> None:
    app = ios_app(tmp_path / "app", version=None)
    written(tmp_path / "Package.swift", FRAMEWORKS)
    assert versions(app) == []
    written(app / "Demo.xcodeproj" / "project.pbxproj", LOCAL_PACKAGE)
    (pin,) = open_app(app).pins
    assert (pin.file, pin.version) == (tmp_path / "Package.swift", "1.3.0")


def test_what_is_no_app_is_told_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(BadApp, match=r"is no app\.[\s\S]*xcodeproj[\s\S]*settings\.gradle\.kts"):
        open_app(tmp_path)
    with pytest.raises(BadApp, match="There is no folder"):
        open_app(tmp_path / "nowhere")
    android_app(ios_app(tmp_path))
    with pytest.raises(BadApp, match="both an iOS and an Android app"):
        open_app(tmp_path)


@pytest.mark.parametrize("text", ["[versions", "versions = 1", "[libraries]\net = 1"])
def test_a_damaged_catalog_is_named(tmp_path: Path, text: str) -> None:
    written(android_app(tmp_path) / "gradle" / "libs.versions.toml", text)
    with pytest.raises(BadApp, match=r"libs\.versions\.toml cannot be read"):
        open_app(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"pins": [1]}'])
def test_a_damaged_resolution_is_named(tmp_path: Path, text: str) -> None:
    written(ios_app(tmp_path) / "Package.resolved", text)
    with pytest.raises(BadApp, match=r"Package\.resolved cannot be read"):
        open_app(tmp_path)
