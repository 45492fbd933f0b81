"""Small app trees, as Xcode and Android Studio lay them out."""

from __future__ import annotations

from pathlib import Path

PACKAGE = """// swift-tools-version: 6.0
import PackageDescription
let package = Package(name: "Kit", dependencies: [
    .package(url: "https://github.com/apple/swift-log.git", from: "1.6.0"),
    // .package(url: "https://github.com/pytorch/executorch.git", branch: "swiftpm-0.6.0"),
    .package(url: "https://github.com/pytorch/executorch.git", branch: "swiftpm-{version}"),
], targets: [.target(name: "Kit", dependencies: [.product(name: "backend_xnnpack", package: "executorch")])])
"""
PROJECT = """/* Begin XCRemoteSwiftPackageReference section */
    9A /* XCRemoteSwiftPackageReference "executorch" */ = {{
        isa = XCRemoteSwiftPackageReference;
        repositoryURL = "https://github.com/pytorch/executorch";
        requirement = {{
            branch = "swiftpm-{version}";
            kind = branch;
        }};
    }};
"""
RESOLVED = """{{"pins": [
  {{"identity": "swift-log", "location": "https://github.com/apple/swift-log.git", "state": {{"version": "1.6.0"}}}},
  {{"identity": "executorch", "location": "https://github.com/pytorch/executorch",
    "state": {{"branch": "swiftpm-{version}", "revision": "0123"}}}}], "version": 3}}
"""
CATALOG = """[versions]
kotlin = "2.4.20"
executorch = "{version}"
[libraries]
core = {{ module = "androidx.core:core-ktx", version = "1.15.0" }}
executorch-android = {{ module = "org.pytorch:executorch-android", version.ref = "executorch" }}
"""
LITERT = """dependencies {{ implementation("com.google.ai.edge.litert:litert:{version}") }}
"""
BUILD = """plugins { id("com.android.application") }
"""


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def ios_app(root: Path, *, version: str | None = "1.4.1") -> Path:
    written(root / "Demo.xcodeproj" / "project.pbxproj", "// !$*UTF8*$!\n")
    written(root / "Demo" / "DemoApp.swift", "import SwiftUI\n")
    written(
        root / "Kit" / "Package.swift", PACKAGE.format(version=version) if version else "import PackageDescription\n"
    )
    return root


def android_app(root: Path, *, version: str | None = "1.4.1", litert: str | None = None) -> Path:
    written(root / "settings.gradle.kts", 'include(":app")\n')
    written(root / "app" / "build.gradle.kts", BUILD + (LITERT.format(version=litert) if litert else ""))
    written(root / "app" / "src" / "main" / "AndroidManifest.xml", "<manifest/>\n")
    if version:
        written(root / "gradle" / "libs.versions.toml", CATALOG.format(version=version))
    return root
