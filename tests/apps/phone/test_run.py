"""A run on a phone ends with a report of this run and these artifacts, or with an error that says what went wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from shvit_mobile.apps.phone.request import BenchmarkRequest
from shvit_mobile.apps.phone.run import PhoneRun, list_phones, measure_on_phone
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.device_report import DeviceReport
from shvit_mobile.errors import (
    BadApp,
    BadReport,
    ConflictingParameters,
    InvalidValue,
    OutputExists,
    PhoneFailed,
    ShvitError,
    ToolMissing,
)
from tests.apps.phone.conftest import SetFault
from tests.apps.phone.fakes import FakeWorld

TOOL = {"android": "adb", "ios": "xcrun"}
RUN = "20261128-235959-0123abcd"


def list_files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def measure(world: FakeWorld, kind: str, artifact: Artifact, **options: object) -> PhoneRun:
    request = BenchmarkRequest(RUN, rounds=3, warm_up=0)
    return measure_on_phone([artifact.path], request, app=world.apps[kind], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["android", "ios"])
def test_the_report_of_the_run_is_fetched_and_joined(
    kind: str, world: FakeWorld, artifact: Artifact, set_fault: SetFault
) -> None:
    set_fault("", TOOL[kind])
    steps: list[tuple[str, int, int]] = []
    found = measure(world, kind, artifact, progress=lambda *step: steps.append(step))
    file = Path("reports") / f"{RUN}.json"
    assert found.run.source == str(file)
    assert DeviceReport.load(file) == found.run.report
    assert found.run.report.run_id == RUN
    assert found.manifests == (artifact.manifest,)
    assert found.phone == {"android": "SM S911B", "ios": "Ada's iPhone"}[kind]
    prefix = {"android": "", "ios": "-"}[kind]
    settings = {"benchmark": artifact.path.stem, "rounds": "3", "warm_up": "0", "run_id": RUN}
    assert world.read_start() == {
        prefix + (name.replace("_", "-") if prefix else name): value for name, value in settings.items()
    }
    measuring = [done for name, done, total in steps if name.startswith("Measuring") and total == 100]
    assert measuring[0] == 0
    assert measuring == sorted(measuring)
    assert steps[0] == ("", 0, 4)
    assert len({name for name, *_ in steps if name}) == 4
    # The next run replaces what the first one embedded.
    measure(world, kind, artifact, out="second.json")


@pytest.mark.parametrize("kind", ["android", "ios"])
def test_without_artifacts_the_app_measures_what_it_contains(
    kind: str, world: FakeWorld, artifact: Artifact, set_fault: SetFault
) -> None:
    set_fault("", TOOL[kind])
    with pytest.raises(BadApp):
        measure_on_phone([], BenchmarkRequest(RUN), app=world.apps[kind])
    measure(world, kind, artifact)
    found = measure_on_phone([], BenchmarkRequest("again"), app=world.apps[kind])
    assert set(world.read_start().values()) == {"all", "again"}
    assert found.manifests == (artifact.manifest,)
    assert found.notes == ()


FAULTS = [
    ("android", "none", "no_phone"),
    ("android", "two", "several_phones"),
    ("android", "unauthorized", "unauthorized"),
    ("android", "offline", "offline"),
    ("android", "recovery", "not_ready"),
    ("android", "no_permissions", "no_permissions"),
    ("android", "broken_adb", "tool"),
    ("android", "build", "build"),
    ("android", "build_reason", "build"),
    ("android", "no_package", "build"),
    ("android", "signature", "signature"),
    ("android", "no_space", "no_space"),
    ("android", "restricted", "install"),
    ("android", "strange", "install"),
    ("android", "locked", "locked"),
    ("android", "start", "start"),
    ("android", "crash", "crash"),
    ("android", "silent", "timeout"),
    ("android", "not_measured", "not_measured"),
    ("android", "low_power", "low_power"),
    ("android", "too_warm", "too_warm"),
    ("android", "other_run", "other_run"),
    ("android", "stale", "other_run"),
    ("android", "disconnected", "disconnected"),
    ("android", "gone_before_pull", "disconnected"),
    ("android", "no_report", "no_report"),
    ("ios", "none", "no_phone"),
    ("ios", "two", "several_phones"),
    ("ios", "unauthorized", "unauthorized"),
    ("ios", "offline", "offline"),
    ("ios", "developer_mode", "developer_mode"),
    ("ios", "broken_devicectl", "tool"),
    ("ios", "unreadable", "tool"),
    ("ios", "build", "build"),
    ("ios", "no_package", "build"),
    ("ios", "signing", "signing"),
    ("ios", "profile", "signing"),
    ("ios", "signature", "signature"),
    ("ios", "no_space", "no_space"),
    ("ios", "strange", "install"),
    ("ios", "gone_at_install", "disconnected"),
    ("ios", "locked", "locked"),
    ("ios", "untrusted", "untrusted"),
    ("ios", "start", "start"),
    ("ios", "crash", "crash"),
    ("ios", "silent", "timeout"),
    ("ios", "not_measured", "not_measured"),
    ("ios", "low_power", "low_power"),
    ("ios", "too_warm", "too_warm"),
    ("ios", "other_run", "other_run"),
    ("ios", "stale", "other_run"),
    ("ios", "disconnected", "disconnected"),
    ("ios", "gone_before_pull", "disconnected"),
    ("ios", "no_report", "no_report"),
]


@pytest.mark.parametrize(("kind", "fault", "expected"), FAULTS)
def test_every_fault_has_its_own_error_and_leaves_no_report(
    kind: str, fault: str, expected: str, world: FakeWorld, artifact: Artifact, set_fault: SetFault
) -> None:
    set_fault(fault, TOOL[kind])
    with pytest.raises(PhoneFailed) as failure:
        measure(world, kind, artifact, timeout=0.4 if fault == "silent" else 60)
    assert failure.value.fault == expected, failure.value
    assert failure.value.hint or failure.value.why
    assert not Path("reports").exists()


@pytest.mark.parametrize(
    ("kind", "fault", "first"),
    [
        ("android", "build", "file:///app/Main.kt:3:5 Unresolved reference 'shvit'."),
        ("android", "build_reason", "Asset file is larger than 2 GB"),
        ("android", "crash", "java.lang.OutOfMemoryError: 64 MB of 512 MB free"),
        ("android", "not_measured", "shvit.pte is damaged."),
        ("ios", "build", "cannot find 'shvit' in scope"),
        ("ios", "crash", "Demo/Model.swift:12: Fatal error: Index out of range"),
        ("ios", "not_measured", "shvit on CPU: The model is damaged."),
        ("ios", "strange", "The item at Demo.app is not a valid bundle."),
    ],
)
def test_an_error_quotes_the_line_that_says_why(
    kind: str, fault: str, first: str, world: FakeWorld, artifact: Artifact, set_fault: SetFault
) -> None:
    set_fault(fault, TOOL[kind])
    with pytest.raises(PhoneFailed) as failure:
        measure(world, kind, artifact)
    assert failure.value.what.endswith(first)


@pytest.mark.parametrize(
    ("kind", "fault", "tools"),
    [
        ("android", "", ()),
        ("ios", "", ("adb",)),
        ("android", "java", ("adb",)),
        ("android", "sdk", ("adb",)),
        ("ios", "no_devicectl", ("xcrun",)),
        ("ios", "xcode", ("xcrun",)),
    ],
)
def test_a_missing_tool_is_named(
    kind: str, fault: str, tools: tuple[str, ...], world: FakeWorld, artifact: Artifact, set_fault: SetFault
) -> None:
    set_fault(fault, *tools)
    with pytest.raises(ToolMissing):
        measure(world, kind, artifact)


def test_without_any_tool_no_phone_can_be_found(world: FakeWorld) -> None:
    with pytest.raises(ToolMissing):
        list_phones()


def test_phones_of_both_systems_are_found_and_chosen_by_serial_number_or_name(
    world: FakeWorld, artifact: Artifact, set_fault: SetFault
) -> None:
    set_fault("", "adb", "xcrun")
    assert [(phone.kind, phone.serial) for phone in list_phones()] == [("android", "R5CT"), ("ios", "00008130")]
    request = BenchmarkRequest(RUN)
    with pytest.raises(PhoneFailed) as failure:
        measure_on_phone([artifact.path], request)
    assert (failure.value.fault, failure.value.parameter) == ("several_phones", "device")
    with pytest.raises(PhoneFailed) as failure:
        measure_on_phone([artifact.path], request, device="R5C")
    assert (failure.value.fault, failure.value.parameter) == ("unknown_phone", "device")
    for device, kind in (("R5CT", "android"), ("sm s911b", "android"), ("00008130", "ios"), ("ada's iPhone", "ios")):
        found = measure_on_phone([artifact.path], request, app=world.apps[kind], device=device, overwrite=True)
        assert found.phone == {"android": "SM S911B", "ios": "Ada's iPhone"}[kind]


def test_a_phone_that_is_ready_is_chosen_among_others_that_are_not(
    world: FakeWorld, artifact: Artifact, set_fault: SetFault
) -> None:
    set_fault("and_offline", "adb")
    assert measure(world, "android", artifact).phone == "SM S911B"


def test_the_phone_of_an_app_is_of_its_system(world: FakeWorld, artifact: Artifact, set_fault: SetFault) -> None:
    set_fault("", "adb", "xcrun")
    assert measure(world, "ios", artifact).phone == "Ada's iPhone"
    assert "adb" not in {program for program, *_ in world.list_calls()}


def test_what_could_not_be_measured_is_noted(world: FakeWorld, artifact: Artifact, set_fault: SetFault) -> None:
    set_fault("partly", "adb")
    notes = measure(world, "android", artifact).notes
    assert sum("shvit.pte is damaged." in note for note in notes) == 1


def test_a_report_of_another_artifact_is_rejected(world: FakeWorld, artifact: Artifact, set_fault: SetFault) -> None:
    template = world.home / "template.json"
    sha256 = artifact.manifest.artifact.sha256
    template.write_text(template.read_text(encoding="utf-8").replace(sha256, "ab" * 32), encoding="utf-8")
    set_fault("", "adb")
    with pytest.raises(BadReport):
        measure(world, "android", artifact)
    assert not Path("reports").exists()


@pytest.mark.parametrize("kind", ["android", "ios"])
def test_a_damaged_report_is_rejected(kind: str, world: FakeWorld, artifact: Artifact, set_fault: SetFault) -> None:
    set_fault("damaged", TOOL[kind])
    with pytest.raises(BadReport) as failure:
        measure(world, kind, artifact)
    assert "/tmp" not in failure.value.what
    assert not Path("reports").exists()


def test_nothing_begins_if_the_report_could_not_be_written_or_a_setting_does_not_fit(
    world: FakeWorld, artifact: Artifact, set_fault: SetFault
) -> None:
    set_fault("", "adb", "xcrun")
    Path("mine.json").write_text("{}", encoding="utf-8")
    before = list_files(world.apps["android"])
    errors: list[tuple[type[ShvitError], dict[str, object]]] = [
        (OutputExists, {"out": "mine.json"}),
        (InvalidValue, {"timeout": 0}),
    ]
    for error, options in errors:
        with pytest.raises(error):
            measure(world, "android", artifact, **options)
    assert world.list_calls() == []
    for kind, request in (
        ("ios", BenchmarkRequest(RUN, threads=(2,))),
        ("android", BenchmarkRequest(RUN, compute=("all",))),
    ):
        with pytest.raises(ConflictingParameters):
            measure_on_phone([artifact.path], request, app=world.apps[kind])
    assert list_files(world.apps["android"]) == before


def test_the_app_is_stopped_on_the_phone_if_there_is_no_report(
    world: FakeWorld, artifact: Artifact, set_fault: SetFault
) -> None:
    set_fault("silent", "adb")
    with pytest.raises(PhoneFailed):
        measure(world, "android", artifact, timeout=0.2)
    assert ["adb", "-s", "R5CT", "shell", "am", "force-stop", "dev.shvit.demo"] in world.list_calls()
