"""iPhones: `xcodebuild` builds the app, and `devicectl` installs it, runs its benchmark, and fetches the report."""

from __future__ import annotations

import json
import plistlib
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shvit_mobile.apps.phone.phones import BuiltApp, PhoneTrouble, create_build_error, create_disconnected_error
from shvit_mobile.apps.phone.request import BenchmarkRequest, RunEnd, create_no_report_error, follow_run
from shvit_mobile.apps.phone.tools import TRANSFER_SECONDS, Ended, LineStream, run_build, run_tool
from shvit_mobile.apps.projects import App
from shvit_mobile.contracts.files import MAX_TEXT_BYTES, read_bytes
from shvit_mobile.errors import BadApp, PhoneFailed, PhoneFault, ToolMissing
from shvit_mobile.progress import ProgressCallback

_SYSTEMS = ("iOS", "iPadOS")
_BY_HAND = "Run the app from Xcode, which may say more."
_ERROR = re.compile(r"^ERROR: (.+)", re.MULTILINE)
_REASON = re.compile(r"NSLocalizedFailureReason = (.+)|NSLocalizedFailureReason=([^,}]+)")
_BUILD_ERROR = re.compile(r"(?:^|: )(?:fatal )?error: (.+)")
_SIGNING = re.compile(r"requires a development team|No profiles? for|No signing certificate|No Account for Team", re.I)
_LOCKED = re.compile(r"could not be, unlocked|\bLocked\b|device (?:is|was) locked", re.IGNORECASE)
_GONE = re.compile(
    r"device (?:was )?(?:disconnected|not found)|No provider was found|not connected|connection was (?:lost|"
    r"interrupted|invalidated)|specified device was not found|tunnel connection failed",
    re.IGNORECASE,
)
# What the messages of `devicectl` mean, the first that matches.
_INSTALL_FAILURES: tuple[tuple[str, PhoneFault, str, str], ...] = (
    (
        r"No space left|(?:isn.t|not) enough (?:storage|space)|insufficient (?:storage|space)",
        "no_space",
        "it has not enough free space",
        "Free some storage.",
    ),
    (
        r"application-identifier entitlement|MismatchedApplicationIdentifierEntitlement",
        "signature",
        "an app of this name with another signature is installed",
        "Delete that app on the phone.",
    ),
    (
        r"provisioning profile|ApplicationVerificationFailed|0xe80080\d\d|could not be verified",
        "signing",
        "its signature is not valid for this phone",
        "Add the phone to your team: build the app once in Xcode with the phone selected.",
    ),
    (
        r"maximum number of apps",
        "install",
        "it has as many apps of a free account as Apple allows",
        "Delete another app that you built.",
    ),
)
_UNTRUSTED = re.compile(r"explicitly trusted|has not been trusted|not trusted by the user|invalid code signature", re.I)
_DEVELOPER_MODE = PhoneTrouble(
    "developer_mode",
    "not in developer mode",
    "Turn it on under Settings, Privacy & Security, Developer Mode, and start the phone again.",
)


def find_xcrun() -> str | None:
    """Return the path of xcrun, which starts Xcode's devicectl and xcodebuild; only Macs have it."""
    return shutil.which("xcrun")


def list_iphones(xcrun: str) -> list[IPhone]:
    """Return the iPhones and iPads that devicectl lists, also those that were connected earlier.

    Raises:
        ToolMissing: If Xcode is older than 15, or not installed.
        PhoneFailed: If devicectl fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "devices.json"
        ended = run_tool([xcrun, "devicectl", "list", "devices", "--json-output", str(file)])
        if "unable to find utility" in ended.text or "requires Xcode" in ended.text:
            raise ToolMissing(
                f"There is no devicectl here: {ended.last_line}",
                why="It comes with Xcode 15, and not with the command line tools.",
                hint="Install Xcode, and choose it: sudo xcode-select -s /Applications/Xcode.app",
            )
        if ended.status != 0 or not file.is_file():
            raise PhoneFailed(
                f"devicectl cannot list phones: {_describe_failure(ended)}",
                fault="tool",
                hint="Try: xcrun devicectl list devices",
            )
        text = file.read_text(encoding="utf-8", errors="replace")
    try:
        devices = json.loads(text)["result"]["devices"]
        phones = [_read_iphone(xcrun, device) for device in devices]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PhoneFailed(
            "The list of devicectl cannot be read.", fault="tool", hint="Try: xcrun devicectl list devices"
        ) from None
    return [phone for phone in phones if phone is not None]


def _read_iphone(xcrun: str, device: dict[str, Any]) -> IPhone | None:
    """Return a phone of devicectl's list; None for another kind of device."""
    hardware = device.get("hardwareProperties", {})
    if hardware.get("platform") not in _SYSTEMS:
        return None
    about, connection = device.get("deviceProperties", {}), device.get("connectionProperties", {})
    name = about.get("name") or hardware.get("marketingName") or "An iPhone"
    return IPhone(xcrun, hardware.get("udid") or device["identifier"], name, _find_trouble(about, connection))


def _find_trouble(about: dict[str, Any], connection: dict[str, Any]) -> PhoneTrouble | None:
    if connection.get("pairingState", "paired") != "paired":
        return PhoneTrouble(
            "unauthorized", "not paired with this computer", "Unlock it, and answer Trust when it asks."
        )
    if connection.get("tunnelState") == "unavailable":
        return PhoneTrouble("offline", "not connected", "Connect it by cable, and unlock it.")
    return _DEVELOPER_MODE if about.get("developerModeStatus") == "disabled" else None


@dataclass(frozen=True)
class IPhone:
    """A phone that devicectl lists: see `Phone`."""

    xcrun: str
    serial: str
    name: str
    trouble: PhoneTrouble | None = None
    kind: Literal["ios"] = "ios"

    def build(self, app: App, *, team: str | None = None) -> BuiltApp:
        """Build the release configuration with xcodebuild; `team` signs it (default: the project's own).

        Raises:
            BadApp: If the app has no Xcode project, or several.
            PhoneFailed: If the build or its signing fails, or leaves no app.
        """
        projects = sorted(app.root.glob("*.xcodeproj"))
        if len(projects) != 1:
            raise BadApp(
                f"{app.root} has {len(projects)} Xcode projects.", why="The one that builds the app should be there."
            )
        (project,), folder = projects, app.root.absolute() / "build" / "phone"
        log = folder / "xcodebuild.log"
        # A scheme of the project's name builds the app.
        command = [self.xcrun, "xcodebuild", "-project", str(project.absolute()), "-scheme", project.stem]
        command += ["-configuration", "Release", "-destination", f"id={self.serial}", "-derivedDataPath", str(folder)]
        command += ["-allowProvisioningUpdates", *([f"DEVELOPMENT_TEAM={team}"] if team else []), "build"]
        if lines := run_build(command, folder=app.root, log=log):
            raise _explain_build(lines, log)
        return _find_app(folder / "Build" / "Products" / "Release-iphoneos", project.stem)

    def install(self, built: BuiltApp) -> None:
        """Install an app, and keep its data.

        Raises:
            PhoneFailed: If the phone rejects it or is gone.
        """
        ended = self._run("install", "app", str(built.path), during="the installation")
        if ended.status != 0:
            raise _explain_install(ended, self)

    def run(self, built: BuiltApp, request: BenchmarkRequest, *, limit_s: float, progress: ProgressCallback) -> RunEnd:
        """Start the app with its launch arguments and follow what it prints, until it exits.

        Raises:
            PhoneFailed: If the phone is locked or gone, the app does not start, crashes, is silent or measures nothing.
        """
        words = [w for name, value in request.settings.items() for w in (f"-{name.replace('_', '-')}", value)]
        launch = ("process", "launch", "--console", "--terminate-existing", "--device", self.serial)
        with LineStream([self.xcrun, "devicectl", "device", *launch, built.identifier, *words]) as lines:
            return follow_run(
                lines,
                request.run_id,
                limit_s=limit_s,
                progress=progress,
                check_alive=lambda _: None,  # devicectl ends with the app
                explain_end=self._explain_end,
            )

    def fetch(self, built: BuiltApp, end: RunEnd, target: Path) -> None:
        """Copy the report from the app's documents to a file.

        Raises:
            PhoneFailed: If the phone is gone or has no such file.
        """
        domain = ("--domain-type", "appDataContainer", "--domain-identifier", built.identifier)
        source = f"Documents/{Path(end.report).name}"
        ended = self._run(
            *("copy", "from", *domain, "--source", source, "--destination", str(target)), during="the transfer"
        )
        if ended.status != 0 or not target.is_file():
            raise PhoneFailed(
                f"The report {source} cannot be copied from the phone: {_describe_failure(ended)}",
                fault="no_report",
                hint="Run the command again.",
            )

    def _run(self, *arguments: str, during: str) -> Ended:
        """Run devicectl for this phone; raise `PhoneFailed` if the phone is gone."""
        command = [self.xcrun, "devicectl", "device", *arguments, "--device", self.serial]
        ended = run_tool(command, limit_s=TRANSFER_SECONDS)
        if ended.status != 0 and (_GONE.search(ended.text) or self._is_gone()):
            raise create_disconnected_error(self, during)
        if ended.status != 0 and _LOCKED.search(ended.text):
            raise self._create_locked_error()
        return ended

    def _is_gone(self) -> bool:
        phones = list_iphones(self.xcrun)
        return not any(phone.serial == self.serial and phone.trouble is None for phone in phones)

    def _create_locked_error(self) -> PhoneFailed:
        return PhoneFailed(
            f"{self.name} is locked.",
            fault="locked",
            why="A locked phone starts no app.",
            hint="Unlock it, keep it unlocked, and run the command again.",
        )

    def _explain_end(self, lines: Sequence[str], errors: Sequence[str]) -> PhoneFailed:
        """Return why the app ended without a report: it did not start, crashed, or the phone is gone."""
        text = "\n".join(lines)
        if _LOCKED.search(text):
            return self._create_locked_error()
        if _GONE.search(text) or self._is_gone():
            return create_disconnected_error(self, "the benchmark")
        if errors:
            return create_no_report_error(errors)
        if _UNTRUSTED.search(text):
            return PhoneFailed(
                f"{self.name} does not trust the developer of the app.",
                fault="untrusted",
                hint="Trust it under Settings, General, VPN & Device Management.",
            )
        if found := _ERROR.search(text):
            return PhoneFailed(
                f"The app does not start: {_describe_reason(text) or found[1]}", fault="start", hint=_BY_HAND
            )
        reason = next((line for line in lines if "Fatal error:" in line), lines[-1] if lines else "it gave no reason.")
        return PhoneFailed(
            f"The app on the phone ended during the benchmark: {reason}",
            fault="crash",
            why="It crashed, was closed, or the system needed its memory.",
            hint="Its crash report is in Xcode, under Window, Devices and Simulators.",
        )


def _explain_build(lines: Sequence[str], log: Path) -> PhoneFailed | ToolMissing:
    """Return why xcodebuild failed."""
    text = "\n".join(lines)
    if "requires Xcode" in text or "unable to find utility" in text:
        return ToolMissing(
            "xcodebuild needs Xcode.",
            why="The command line tools alone cannot build an app.",
            hint="Install Xcode, and choose it: sudo xcode-select -s /Applications/Xcode.app",
        )
    error = create_build_error(lines, _BUILD_ERROR, system="iOS", log=log)
    if _SIGNING.search(text):
        return PhoneFailed(
            error.what,
            fault="signing",
            why="An app on a phone is signed by a team.",
            hint="Set `team=ID` to your team's ten characters at developer.apple.com, or choose it in Xcode.",
            parameter="team",
        )
    return error


def _find_app(folder: Path, name: str) -> BuiltApp:
    """Return the app that xcodebuild built, with the identifier of its Info.plist."""
    path = folder / f"{name}.app"
    try:
        content = read_bytes(path / "Info.plist", limit=MAX_TEXT_BYTES, error=BadApp, what="a property list")
        identifier = str(plistlib.loads(content)["CFBundleIdentifier"])
    except (ValueError, KeyError, TypeError, plistlib.InvalidFileException, BadApp):
        raise PhoneFailed(
            f"xcodebuild left no app in {folder}.",
            fault="build",
            why=f"{path.name} there should contain an Info.plist with its identifier.",
        ) from None
    return BuiltApp(path, identifier)


def _explain_install(ended: Ended, phone: IPhone) -> PhoneFailed:
    """Return why a phone rejects an app."""
    for pattern, fault, reason, hint in _INSTALL_FAILURES:
        if re.search(pattern, ended.text, re.IGNORECASE):
            said = _describe_failure(ended)
            return PhoneFailed(f"{phone.name} rejects the app: {reason}.", fault=fault, why=said, hint=hint)
    return PhoneFailed(f"{phone.name} rejects the app: {_describe_failure(ended)}", fault="install", hint=_BY_HAND)


def _describe_failure(ended: Ended) -> str:
    """Return what devicectl says about a failure: the reason if there is one."""
    found = _ERROR.search(ended.text)
    return _describe_reason(ended.text) or (found[1] if found else ended.last_line)


def _describe_reason(text: str) -> str:
    match = _REASON.search(text)
    return (match[1] or match[2]).strip() if match else ""
