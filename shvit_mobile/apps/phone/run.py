"""Measures artifacts on a connected phone, from the search for the phone to the report on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shvit_mobile.apps.collect import DeviceRun, collect_device_reports
from shvit_mobile.apps.embed import check_embed_overwrite, embed_artifacts, format_undo_command, plan_embeds
from shvit_mobile.apps.known_artifacts import check_artifacts, open_manifests
from shvit_mobile.apps.phone.adb import find_adb, list_android_phones
from shvit_mobile.apps.phone.devicectl import find_xcrun, list_iphones
from shvit_mobile.apps.phone.phones import Phone, select_phone
from shvit_mobile.apps.phone.request import BenchmarkRequest, RunEnd
from shvit_mobile.apps.projects import App, AppKind, find_app_folder, open_app
from shvit_mobile.apps.record import EmbedRecord
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.outputs import check_overwrite, write_atomically
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.errors import BadApp, BadReport, ConflictingParameters, InvalidValue, PhoneFailed, ToolMissing
from shvit_mobile.progress import StepCallback
from shvit_mobile.targets.stored_facts import open_artifact

REPORTS_FOLDER = Path("reports")
SILENT_SECONDS = 600.0
_STEPS = 4
_BUNDLED_APPS: dict[AppKind, str] = {"ios": "ios_demo", "android": "android_demo"}
_ANDROID_TOOL_HINT = "Install Android's platform tools (on Debian: apt install adb), or set ANDROID_HOME."


@dataclass(frozen=True)
class PhoneRun:
    """A run on a phone.

    Attributes:
        phone: The phone's name.
        run: The report and its file.
        manifests: The manifests of the artifacts that were to be measured.
        notes: What was assumed, left behind or not measured, as sentences.
    """

    phone: str
    run: DeviceRun
    manifests: tuple[Manifest, ...]
    notes: tuple[str, ...]


def _ignore(description: str, done: int, total: int) -> None:
    """Report no progress."""


def measure_on_phone(
    artifacts: Sequence[AnyPath],
    request: BenchmarkRequest,
    *,
    app: AnyPath | None = None,
    device: str | None = None,
    team: str | None = None,
    any_version: bool = False,
    timeout: float = SILENT_SECONDS,
    out: AnyPath | None = None,
    overwrite: bool = False,
    progress: StepCallback = _ignore,
) -> PhoneRun:
    """Embed artifacts into an app, build it, run its benchmark on the connected phone, and fetch its report.

    Args:
        artifacts: The artifacts to measure; empty for those that the app already contains.
        request: What to measure and how; `models` is ignored.
        app: The app's source tree (default: this project's own app for the phone's system).
        device: The serial number or name of the phone (default: the only one).
        team: The team that signs an iOS app (default: the project's own).
        any_version: Accept an app that links another version of the runtime.
        timeout: Longest time without progress on the phone, in seconds; sustained runs are added.
        out: The report's file (default: RUN.json in the folder `reports`).
        overwrite: Replace that file.

    Raises:
        ToolMissing: If adb, Xcode, Java or the Android SDK is missing.
        PhoneFailed: If the phone cannot be used, or a step fails; `fault` tells which.
        BadApp, BadArtifact, OutputExists: As `plan_embeds` and `embed_artifacts`.
        BadReport: If the report cannot be read, or is of other artifacts.
        OutputExists: If the report's file exists.
        ConflictingParameters: If a setting is for the other system.
    """
    if timeout <= 0:
        raise InvalidValue(f"`timeout` is {timeout:g}.", why="It is a time in seconds.", parameter="timeout")
    file = Path(out) if out is not None else REPORTS_FOLDER / f"{request.run_id}.json"
    check_overwrite(file, overwrite=overwrite)
    opened = [open_artifact(path) for path in artifacts]
    project = None if app is None else open_app(find_app_folder(app))
    progress("", 0, _STEPS)
    progress("Looking for a phone", 0, 0)
    phone = select_phone(list_phones(None if project is None else project.kind), device)
    _check_settings(phone, request)
    project = project or open_app(find_app_folder(_BUNDLED_APPS[phone.kind]))
    progress("Embedding and building", 0, 0)
    models = _embed(opened, project, any_version=any_version)
    built = phone.build(project, team=team)
    progress(f"Installing on {phone.name}", 0, 0)
    phone.install(built)

    def report_percent(done: int, total: int) -> None:
        progress(f"Measuring on {phone.name}", done, total)

    report_percent(0, 100)
    limit = timeout + (request.sustained_s or 0)
    end = phone.run(built, replace(request, models=models), limit_s=limit, progress=report_percent)
    with tempfile.TemporaryDirectory() as folder:
        fetched = Path(folder) / f"{request.run_id}.json"
        phone.fetch(built, end, fetched)
        run = _read_report(fetched, request.run_id, phone)
        manifests = [one.manifest for one in opened] or open_manifests([project.models])
        check_artifacts([run], manifests)
        with write_atomically(file, overwrite=overwrite) as (part,):
            part.write_bytes(fetched.read_bytes())
    notes = tuple(_describe_run(run, end, manifests, phone, project, embedded=bool(opened)))
    return PhoneRun(phone.name, replace(run, source=str(file)), tuple(manifests), notes)


def list_phones(kind: AppKind | None = None) -> list[Phone]:
    """Return the connected phones of a system (default: of both).

    Raises:
        ToolMissing: If there is no tool to look for them.
        PhoneFailed: If a tool fails.
    """
    adb = find_adb() if kind != "ios" else None
    xcrun = find_xcrun() if kind != "android" else None
    if adb is None and xcrun is None:
        names = {"ios": "xcrun", "android": "adb", None: "neither adb nor xcrun"}
        raise ToolMissing(
            f"There is {'' if kind is None else 'no '}{names[kind]} here to look for a phone.",
            why="adb talks to Android phones, and xcrun, which comes with Xcode on a Mac, to iPhones.",
            hint="Use a Mac with Xcode." if kind == "ios" else _ANDROID_TOOL_HINT,
        )
    return [*(list_android_phones(adb) if adb else ()), *(list_iphones(xcrun) if xcrun else ())]


def _check_settings(phone: Phone, request: BenchmarkRequest) -> None:
    """Raise `ConflictingParameters` for a setting of the other system."""
    if phone.kind == "ios" and request.threads:
        raise ConflictingParameters(
            "`threads` is given, and the phone is an iPhone.",
            why="There, Core ML and ExecuTorch choose their threads.",
            parameter="threads",
        )
    if phone.kind == "android" and request.compute:
        raise ConflictingParameters(
            "`compute` is given, and the phone runs Android.", why="These are Core ML's units.", parameter="compute"
        )


def _embed(artifacts: Sequence[Artifact], app: App, *, any_version: bool) -> tuple[str, ...]:
    """Embed artifacts that the app does not contain yet; return the names of the models to measure."""
    if not artifacts:
        if not EmbedRecord.read(app.models).models:
            raise BadApp(
                f"{app.root} contains no model to measure.", hint="Give artifacts: shvit-mobile phone ARTIFACT"
            )
        return ()
    plans = plan_embeds(artifacts, app, any_version=any_version)
    check_embed_overwrite(plans, app, overwrite=True)
    embed_artifacts(plans, app, overwrite=True)
    return tuple(one.name for one in plans)


def _read_report(file: Path, run_id: str, phone: Phone) -> DeviceRun:
    """Read a fetched report and check that it is of this run."""
    source = f"The report from {phone.name}"
    try:
        (run,) = collect_device_reports([file])
    except BadReport as reason:
        raise BadReport(reason.what.replace(str(file), source), why=reason.why, hint=reason.hint) from None
    if run.report.run_id != run_id:
        raise PhoneFailed(
            f"{source} is of run {run.report.run_id or 'without an id'}, and not of {run_id}.",
            fault="other_run",
            why="It may be older, or from another app.",
            hint="Build the app from the source of this version, and run the command again.",
        )
    return replace(run, source=source)


def _describe_run(
    run: DeviceRun, end: RunEnd, manifests: Sequence[Manifest], phone: Phone, app: App, *, embedded: bool
) -> list[str]:
    """Describe what was not measured, and what stays behind."""
    measured = {result.artifact_sha256 for result in run.report.results}
    missing = [one.artifact.name for one in manifests if one.artifact.sha256 not in measured]
    return [
        *(f"The phone could not measure everything: {error}" for error in end.errors),
        *(f"The report does not contain {name}." for name in missing),
        *([f"{phone.name} is an emulator: its latencies mean nothing."] if _is_emulator(phone) else []),
        *([f"The artifacts stay in {app.root}. To remove them: {format_undo_command(app)}"] if embedded else []),
    ]


def _is_emulator(phone: Phone) -> bool:
    return phone.kind == "android" and phone.serial.startswith("emulator-")
