"""Types that need a newer iOS are found if, and only if, no availability check guards them."""

from __future__ import annotations

from pathlib import Path

import pytest
from availability import UnguardedUse, find_marked_types, find_unguarded

TYPES = {"MLComputePlan": "17.4"}


def test_marked_types_are_read_from_the_interfaces(tmp_path: Path) -> None:
    (tmp_path / "A.swiftinterface").write_text(
        "@available(iOS 17.4, macOS 14.4, *)\npublic final class MLComputePlan {\n}\n"
        "public class MLModel {}\n@available(iOS 18.0, *)\nopen class MLState: NSObject {}\n",
        encoding="utf-8",
    )
    assert find_marked_types(tmp_path) == {"MLComputePlan": "17.4", "MLState": "18.0"}


@pytest.mark.parametrize(
    "source",
    [
        "guard #available(iOS 17.4, macOS 14.4, *) else { return nil }\nlet plan = MLComputePlan.load()",
        "if #available(iOS 18, *) {\n    let plan = MLComputePlan.load()\n}",
        "@available(iOS 17.4, *)\nextension MLComputePlan {\n    var plan: MLComputePlan { self }\n}",
        "// MLComputePlan is of iOS 17.4.\nlet MLComputePlanner = 1",
    ],
    ids=["guard", "if", "declaration", "another name"],
)
def test_a_guarded_use_is_not_found(source: str) -> None:
    assert list(find_unguarded(f"func plan() {{\n{source}\n}}", TYPES)) == []


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("func plan() {\n    MLComputePlan.load()\n}", 2),
        ("func a() {\n    guard #available(iOS 17.4, *) else { return }\n}\nfunc b() { MLComputePlan.load() }", 4),
        ("if #available(iOS 17.4, *) {\n} else {\n    MLComputePlan.load()\n}", 3),
        ("guard #available(iOS 17.2, *) else { return }\nMLComputePlan.load()", 2),
        ("@available(iOS 17.4, *)\nfunc a() {\n}\nfunc b() -> MLComputePlan? { nil }", 4),
    ],
    ids=["nothing", "another function", "else", "an older system", "another declaration"],
)
def test_an_unguarded_use_is_found(source: str, line: int) -> None:
    assert list(find_unguarded(source, TYPES)) == [UnguardedUse(line, "MLComputePlan", "17.4")]
