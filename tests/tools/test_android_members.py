"""The check of Android members against signatures and API levels; planted mistakes can still be planted."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tools" / "android"))

from android_mistakes import MISTAKES  # noqa: E402
from members import MemberUse, find_faults, parse_signatures, parse_uses  # noqa: E402

DECLARATIONS = """\
declare module android {
	export module os {
		export class Power extends android.os.Base implements android.os.Named {
			public static class: java.lang.Class<android.os.Power>;
			/** @since 29 */
			public static HOT: 3;
			public heat(): number;
			/** @since 30 */
			public heat(seconds: number): number;
			public ask(first: java.util.Map<string,any>, second: {
			}): void;
			/** @since 24 */
			public constructor(stream: java.io.InputStream);
		}
		export module Power {
			/** @since 31 */
			export class Listener extends java.lang.Object {
				/** Words of the declarations' maker. */
				public constructor(implementation: {
					onHot(param0: number): void;
				});
				public constructor();
				public onHot(param0: number): void;
			}
		}
		/** @since 28 */
		export abstract class Base extends java.lang.Object {
			public inherited(): void;
		}
		export class Named extends java.lang.Thread {
			/** @deprecated Deprecated in API 33 */
			public named(): string;
		}
	}
}
declare module java {
	export module lang {
		export class Thread extends java.lang.Object {
			public start(): void;
		}
	}
}
"""


def find_in_declarations(tmp_path: Path, *uses: MemberUse, least: int = 26) -> list[str]:
    file = tmp_path / "declarations.d.ts"
    file.write_text(DECLARATIONS, encoding="utf-8")
    return list(find_faults(uses, parse_signatures(file), least))


def build_use(name: str, parameters: int | None = 0, level: int = 0, owner: str = "android.os.Power") -> MemberUse:
    return MemberUse("Some.kt:1", owner, name, parameters, level)


@pytest.mark.parametrize(
    "use",
    [
        build_use("heat"),
        build_use("heat", 1, level=30),
        build_use("heat", 1, level=33),
        build_use("HOT", None, level=29),
        build_use("<init>", 1),
        build_use("named"),
        build_use("hashCode"),
        build_use("onHot", 1, level=31, owner="android.os.Power.Listener"),
        build_use("start", owner="android.os.Named"),
    ],
    ids=str,
)
def test_an_existing_or_guarded_member_has_no_fault(tmp_path: Path, use: MemberUse) -> None:
    assert find_in_declarations(tmp_path, use) == []


@pytest.mark.parametrize(
    ("use", "since", "guaranteed"),
    [
        (build_use("heat", 1), 30, 26),
        (build_use("heat", 1, level=29), 30, 29),
        (build_use("HOT", None), 29, 26),
        (build_use("inherited", level=24), 28, 24),
        (build_use("<init>", 0, owner="android.os.Power.Listener"), 31, 26),
    ],
    ids=str,
)
def test_a_member_newer_than_the_guaranteed_level_is_a_fault(
    tmp_path: Path, use: MemberUse, since: int, guaranteed: int
) -> None:
    (fault,) = find_in_declarations(tmp_path, use)
    assert fault.endswith(f"needs API {since}, but only {guaranteed} is guaranteed here.")


@pytest.mark.parametrize(
    "use",
    [build_use("cool"), build_use("heat", 2), build_use("heat", None), build_use("on", owner="android.os.Invented")],
    ids=str,
)
def test_a_member_that_android_does_not_have_is_a_fault(tmp_path: Path, use: MemberUse) -> None:
    (fault,) = find_in_declarations(tmp_path, use)
    assert fault.startswith(f"Some.kt:1: Android has no {use.owner}.{use.name}")


def test_a_higher_min_sdk_needs_fewer_guards(tmp_path: Path) -> None:
    assert find_in_declarations(tmp_path, build_use("heat", 1), least=30) == []


def test_parameters_are_counted_in_a_descriptor() -> None:
    line = "A.kt:7\tandroid/os/Power$Listener\task\t([[ILjava/lang/String;J[Landroid/os/Power;Z)V\t31"
    assert parse_uses(line) == [MemberUse("A.kt:7", "android.os.Power.Listener", "ask", 5, 31)]
    assert parse_uses("A.kt:7\tandroid/os/Power\tHOT\t\t0") == [MemberUse("A.kt:7", "android.os.Power", "HOT", None, 0)]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_each_mistake_can_be_planted(mistake, tmp_path: Path) -> None:
    before = (ROOT / "android_demo" / mistake.file).read_text(encoding="utf-8")
    (tmp_path / mistake.file).parent.mkdir(parents=True)
    (tmp_path / mistake.file).write_text(before, encoding="utf-8")
    mistake.plant(tmp_path)
    assert (tmp_path / mistake.file).read_text(encoding="utf-8") != before
    (tmp_path / mistake.file).write_text(before.replace(mistake.right, ""), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(mistake.file)):
        mistake.plant(tmp_path)


def test_no_mistake_is_listed_twice() -> None:
    assert len({mistake.what for mistake in MISTAKES}) == len(MISTAKES)
