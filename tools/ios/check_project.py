"""Checks the demo app's Xcode project, which Linux cannot open: objects, folders, scheme, privacy strings, icon.

    python tools/ios/check_project.py [PROJECT.xcodeproj]

It prints a sentence for each problem and exits with 1 if there is one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PIL import Image
from project_file import parse_project

from shvit_mobile.errors import ShvitError

PROJECT = Path(__file__).resolve().parents[2] / "ios_demo" / "SHViTDemo.xcodeproj"
IDENTIFIER = re.compile(r"[0-9A-F]{24}")
# The texts of permission requests; without them, the system terminates the app.
PRIVACY = ("INFOPLIST_KEY_NSCameraUsageDescription", "INFOPLIST_KEY_NSPhotoLibraryUsageDescription")
ICON_SIDE = 1024

Objects = dict[str, dict[str, Any]]


def find_problems(project: Path) -> list[str]:
    """Return a sentence for each problem of a project.

    Raises:
        NotAProject: If the project file cannot be parsed.
    """
    content = parse_project((project / "project.pbxproj").read_text(encoding="utf-8"))
    objects: Objects = content["objects"]
    root = content["rootObject"]
    missing = [*find_undefined(objects, root)]
    if missing:
        # The other checks follow references.
        return missing
    return [
        *find_unused(objects, root),
        *find_absent_folders(objects, project.parent),
        *find_absent_products(objects, project.parent),
        *find_scheme_problems(objects, project),
        *find_missing_settings(objects),
        *find_icon_problems(objects, project.parent),
    ]


def find_objects(objects: Objects, kind: str) -> Iterator[dict[str, Any]]:
    """Return all objects of a class."""
    return (content for content in objects.values() if content["isa"] == kind)


def find_references(value: Any) -> Iterator[str]:
    """Yield the identifiers in a value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from find_references(part)
    elif IDENTIFIER.fullmatch(value):
        yield value


def find_undefined(objects: Objects, root: str) -> Iterator[str]:
    for owner, content in {"the project": {"rootObject": root}, **objects}.items():
        for identifier in find_references(content):
            if identifier not in objects:
                yield f"{owner} names {identifier}, which does not exist."


def find_unused(objects: Objects, root: str) -> Iterator[str]:
    """Find objects that cannot be reached from the root."""
    used, waiting = {root}, [root]
    while waiting:
        reached = set(find_references(objects[waiting.pop()])) - used
        used |= reached
        waiting += reached
    return (f"Nothing uses {identifier}, a {objects[identifier]['isa']}." for identifier in objects.keys() - used)


def find_absent_folders(objects: Objects, folder: Path) -> Iterator[str]:
    """Find missing buildable folders, and missing folders in them that are copied as they are."""
    for group in find_objects(objects, "PBXFileSystemSynchronizedRootGroup"):
        for place in ("", *group.get("explicitFolders", [])):
            if not (folder / group["path"] / place).is_dir():
                yield f"There is no folder {Path(group['path'], place)}."


def find_absent_products(objects: Objects, folder: Path) -> Iterator[str]:
    """Find missing Swift packages and products."""
    offered: set[str] = set()
    for package in find_objects(objects, "XCLocalSwiftPackageReference"):
        source = folder / package["relativePath"] / "Package.swift"
        if source.is_file():
            offered |= set(re.findall(r'\.library\(name: "(\w+)"', source.read_text(encoding="utf-8")))
        else:
            yield f"There is no Swift package in {package['relativePath']}."
    for product in find_objects(objects, "XCSwiftPackageProductDependency"):
        if product["productName"] not in offered:
            yield f"No package has a product {product['productName']}."


def get_configurations(objects: Objects, owner: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the build settings of a target, or of the project, by configuration."""
    configurations = objects[owner["buildConfigurationList"]]["buildConfigurations"]
    return {objects[key]["name"]: objects[key]["buildSettings"] for key in configurations}


def find_scheme_problems(objects: Objects, project: Path) -> Iterator[str]:
    """Find names in shared schemes that the project does not have, and tests that no scheme runs."""
    schemes = sorted((project / "xcshareddata" / "xcschemes").glob("*.xcscheme"))
    if not schemes:
        yield "There is no shared scheme."
    targets = {key: content for key, content in objects.items() if content["isa"] == "PBXNativeTarget"}
    (owner,) = find_objects(objects, "PBXProject")
    for scheme in schemes:
        tree = ElementTree.parse(scheme)
        for action in tree.iterfind("./*[@buildConfiguration]"):
            if action.get("buildConfiguration") not in get_configurations(objects, owner):
                yield f"{scheme.name}: {action.tag} names the configuration {action.get('buildConfiguration')}."
        tested = {
            reference.get("BlueprintName") for reference in tree.iterfind(".//TestableReference/BuildableReference")
        }
        for reference in tree.iterfind(".//BuildableReference"):
            name = reference.get("BlueprintName")
            target = targets.get(reference.get("BlueprintIdentifier", ""))
            if target is None or target["name"] != name:
                yield f"{scheme.name}: {name} is not a target of the project."
            elif objects[target["productReference"]]["path"] != reference.get("BuildableName"):
                yield f"{scheme.name}: {name} does not build {reference.get('BuildableName')}."
            if reference.get("ReferencedContainer") != f"container:{project.name}":
                yield f"{scheme.name}: {name} is in {reference.get('ReferencedContainer')}."
        for target in targets.values():
            if target["productType"].endswith("unit-test") and target["name"] not in tested:
                yield f"{scheme.name}: the tests of {target['name']} are not run."


def find_app_targets(objects: Objects) -> Iterator[dict[str, Any]]:
    """Return the targets that build an app."""
    return (
        target
        for target in find_objects(objects, "PBXNativeTarget")
        if target["productType"] == "com.apple.product-type.application"
    )


def find_missing_settings(objects: Objects) -> Iterator[str]:
    for target in find_app_targets(objects):
        for name, settings in get_configurations(objects, target).items():
            for key in PRIVACY:
                if not settings.get(key, "").strip():
                    yield f"{target['name']} has no {key} under {name}."


def find_icon_problems(objects: Objects, folder: Path) -> Iterator[str]:
    """Check that the icon is a square of 1024 pixels without transparency, as the App Store requires."""
    for target in find_app_targets(objects):
        for settings in get_configurations(objects, target).values():
            name = f"{settings.get('ASSETCATALOG_COMPILER_APPICON_NAME')}.appiconset"
            contents = next((folder / target["name"]).glob(f"*.xcassets/{name}/Contents.json"), None)
            if contents is None:
                yield f"{target['name']} has no icon {name}."
                continue
            for image in json.loads(contents.read_text(encoding="utf-8"))["images"]:
                with Image.open(contents.parent / image["filename"]) as picture:
                    if picture.size != (ICON_SIDE, ICON_SIDE) or picture.mode != "RGB":
                        yield f"{image['filename']} is {picture.size} and {picture.mode}, not an opaque square."


def main() -> None:
    project = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT
    try:
        problems = find_problems(project)
    except ShvitError as reason:
        sys.exit(f"error: {project.name}: {reason}")
    for problem in problems:
        print(f"error: {project.name}: {problem}", file=sys.stderr)
    if problems:
        sys.exit(1)
    print(f"{project.name}: objects, folders, packages, schemes, privacy strings and icon are consistent.")


if __name__ == "__main__":
    main()
