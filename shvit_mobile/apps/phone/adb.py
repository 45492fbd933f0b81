"""Android phones: `gradlew` builds the app, and `adb` installs it, runs its benchmark, and fetches the report."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shvit_mobile.apps.phone.phones import BuiltApp, PhoneTrouble, create_build_error, create_disconnected_error
from shvit_mobile.apps.phone.request import BenchmarkRequest, RunEnd, follow_run
from shvit_mobile.apps.phone.tools import TRANSFER_SECONDS, Ended, LineStream, run_build, run_tool
from shvit_mobile.apps.projects import App
from shvit_mobile.contracts.files import read_text
from shvit_mobile.errors import BadApp, PhoneFailed, PhoneFault, ToolMissing
from shvit_mobile.progress import ProgressCallback

_ACTIVITY, _TAG = "dev.shvit.demo.BenchmarkActivity", "shvit"
_MODEL = re.compile(r"\bmodel:(\S+)")
_STATES: dict[str, PhoneTrouble] = {
    "unauthorized": PhoneTrouble(
        "unauthorized",
        "not authorized",
        "Unlock the phone and allow USB debugging for this computer. If it does not ask, revoke the authorizations in "
        "its developer options and connect it again.",
    ),
    "authorizing": PhoneTrouble("unauthorized", "waiting for your answer", "Allow USB debugging on its screen."),
    "offline": PhoneTrouble("offline", "offline", "Connect it again. If that does not help: adb kill-server"),
    "no": PhoneTrouble(
        "no_permissions",
        "not accessible: this user may not open its USB device",
        "Install Android's udev rules (on Debian: apt install android-sdk-platform-tools-common), and connect it "
        "again.",
    ),
}
_GONE = re.compile(r"device '[^']*' not found|device offline|no devices/emulators found|device still connecting")
_LOCKED = re.compile(r"\b(?:mDreamingLockscreen|mShowingLockscreen|mKeyguardShowing|isStatusBarKeyguard)=true\b")
_BUILD_ERROR = re.compile(r"^e: (.+)|^(?:\S+: )?error: (.+)|^ERROR: (.+)")
_GRADLE_REASON = "* What went wrong:"
_INSTALL_FAILURE = re.compile(r"\b(INSTALL_\w+)(?:: ([^\]]+))?")
_JVM_MISSING = re.compile(r"JAVA_HOME is (?:not set|set to an invalid directory)")
_START_ERROR = re.compile(r"^(Error\b.*|.*Exception\b.*)", re.MULTILINE)


def find_adb() -> str | None:
    """Return the path of adb: on the PATH, or in the Android SDK that the environment names."""
    if found := shutil.which("adb"):
        return found
    homes = (os.environ.get(name) for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"))
    return next(
        (found for home in homes if home and (found := shutil.which("adb", path=f"{home}/platform-tools"))), None
    )


def list_android_phones(adb: str) -> list[AndroidPhone]:
    """Return the phones and emulators that adb lists.

    Raises:
        PhoneFailed: If adb fails.
    """
    ended = run_tool([adb, "devices", "-l"])
    if ended.status != 0:
        raise PhoneFailed(
            f"adb cannot list phones: {ended.last_line}", fault="tool", hint="Try: adb kill-server; adb devices -l"
        )
    phones = []
    for line in ended.stdout.splitlines():
        serial, _, rest = line.strip().partition(" " if "\t" not in line else "\t")
        if line.startswith("(no serial number)"):
            serial, rest = "(no serial number)", line.removeprefix("(no serial number)")
        state = rest.split()[0] if rest.split() else ""
        if not state or line.startswith(("*", "List of devices")):
            continue
        model = match[1].replace("_", " ") if (match := _MODEL.search(rest)) else "A phone"
        phones.append(AndroidPhone(adb, serial, model, None if state == "device" else _describe_state(state)))
    return phones


def _describe_state(state: str) -> PhoneTrouble:
    """Return what is wrong with a phone in a state of adb."""
    return _STATES.get(state, PhoneTrouble("not_ready", f"in the state '{state}'", "Start it normally, and unlock it."))


@dataclass(frozen=True)
class AndroidPhone:
    """A phone that adb lists: see `Phone`."""

    adb: str
    serial: str
    name: str
    trouble: PhoneTrouble | None = None
    kind: Literal["android"] = "android"

    def build(self, app: App, *, team: str | None = None) -> BuiltApp:
        """Build the release variant with the Gradle wrapper of the app.

        Raises:
            BadApp: If the app has no Gradle wrapper.
            ToolMissing: If there is no JDK.
            PhoneFailed: If the build fails, or leaves no package.
        """
        # The models are in MODULE/src/main/assets/models.
        module = app.models.parents[3]
        gradlew = app.root / ("gradlew.bat" if os.name == "nt" else "gradlew")
        if not gradlew.is_file():
            raise BadApp(f"{app.root} has no {gradlew.name}.", why="Gradle builds the app with it.")
        log = app.root / "build" / "phone" / "gradle.log"
        task = f":{module.relative_to(app.root).as_posix().replace('/', ':')}:assembleRelease"
        if lines := run_build([str(gradlew.absolute()), task, "--console=plain"], folder=app.root, log=log):
            raise _explain_build(lines, log)
        return _find_package(module / "build" / "outputs" / "apk" / "release")

    def install(self, built: BuiltApp) -> None:
        """Install a package, and keep the app's data.

        Raises:
            PhoneFailed: If the phone rejects it or is gone.
        """
        ended = self._run("install", "-r", str(built.path), during="the installation", limit_s=TRANSFER_SECONDS)
        if ended.status != 0 or "Failure [" in ended.text:
            raise _explain_install(ended, built, self)

    def run(self, built: BuiltApp, request: BenchmarkRequest, *, limit_s: float, progress: ProgressCallback) -> RunEnd:
        """Start the app's benchmark and follow its log; the app stops if there is no report.

        Raises:
            PhoneFailed: If the phone is locked or gone, the app does not start, crashes, is silent or measures nothing.
        """
        self._unlock()
        # Older lines of the log are about other runs.
        clock = self._shell("date", "+%s").strip()
        since = ("-T", f"{clock}.000") if clock.isdigit() else ()
        log = ("logcat", "-v", "tag", *since, "-s", f"{_TAG}:V", "AndroidRuntime:E", "libc:F")
        with LineStream([self.adb, "-s", self.serial, *log]) as lines:
            try:
                self._start(built, request)
                return follow_run(
                    lines,
                    request.run_id,
                    limit_s=limit_s,
                    progress=progress,
                    check_alive=self._watch_process(built),
                    explain_end=lambda lines, errors: create_disconnected_error(self, "the benchmark"),
                )
            except BaseException:
                with suppress(Exception):  # the first error says what happened
                    run_tool([self.adb, "-s", self.serial, "shell", "am", "force-stop", built.identifier], limit_s=5)
                raise

    def fetch(self, built: BuiltApp, end: RunEnd, target: Path) -> None:
        """Copy the report to a file.

        Raises:
            PhoneFailed: If the phone is gone or has no such file.
        """
        ended = self._run("pull", end.report, str(target), during="the transfer", limit_s=TRANSFER_SECONDS)
        if ended.status != 0 or not target.is_file():
            raise PhoneFailed(
                f"The report {end.report} cannot be copied from the phone: {ended.last_line}",
                fault="no_report",
                hint="Run the command again.",
            )

    def _run(self, *arguments: str, during: str, limit_s: float = 60) -> Ended:
        """Run adb for this phone; raise `PhoneFailed` if the phone is gone."""
        ended = run_tool([self.adb, "-s", self.serial, *arguments], limit_s=limit_s)
        if ended.status != 0 and _GONE.search(ended.text):
            raise create_disconnected_error(self, during)
        if ended.status != 0 and "unauthorized" in ended.text:
            raise _explain_unauthorized(self)
        return ended

    def _shell(self, *command: str, during: str = "the benchmark") -> str:
        """Run a command on the phone and return what it printed, whatever its status."""
        return self._run("shell", shlex.join(command), during=during).stdout

    def _unlock(self) -> None:
        """Turn the screen on and wipe a lock screen without a secret away; raise `PhoneFailed` if it stays locked."""
        self._shell("input", "keyevent", "KEYCODE_WAKEUP")
        self._shell("wm", "dismiss-keyguard")
        if _LOCKED.search(self._shell("dumpsys", "window")):
            raise PhoneFailed(
                f"{self.name} is locked.",
                fault="locked",
                why="A locked phone does not show the app, and measures nothing.",
                hint="Unlock it, and run the command again.",
            )

    def _start(self, built: BuiltApp, request: BenchmarkRequest) -> None:
        extras = [word for name, value in request.settings.items() for word in ("--es", name, value)]
        component = f"{built.identifier}/{_ACTIVITY}"
        # -S ends a benchmark that still runs.
        said = self._run("shell", shlex.join(["am", "start", "-S", "-W", "-n", component, *extras]), during="the start")
        found = _START_ERROR.search(said.text)
        if said.status != 0 or found:
            raise PhoneFailed(
                f"The benchmark does not start: {found[1].strip() if found else said.last_line}",
                fault="start",
                hint="Give the source tree of an app with SHViT's benchmark: `app=android_demo`",
            )

    def _watch_process(self, built: BuiltApp) -> Callable[[Sequence[str]], None]:
        """Return a function that raises `PhoneFailed` if the app's process was gone twice in a row.

        Once may be between two lines of the log: the process ends, and its last lines arrive later.
        """
        gone = 0

        def check(lines: Sequence[str]) -> None:
            nonlocal gone
            gone = 0 if self._shell("pidof", built.identifier).strip() else gone + 1
            if gone > 1:
                raise PhoneFailed(
                    f"The app on the phone ended during the benchmark: {_describe_crash(lines, built.identifier)}",
                    fault="crash",
                    why="It crashed, was closed, or the system needed its memory.",
                    hint=f"For the whole log: adb -s {self.serial} logcat -d",
                )

        return check


def _describe_crash(lines: Sequence[str], identifier: str) -> str:
    """Return the exception, or the signal, in the log of an app that crashed."""
    said = [line.partition(": ")[2] for line in lines]
    for index, text in enumerate(said[:-1]):
        if text.startswith(f"Process: {identifier},"):
            return said[index + 1]
    return next((text for text in said if text.startswith("Fatal signal")), "it gave no reason.")


def _explain_unauthorized(phone: AndroidPhone) -> PhoneFailed:
    trouble = _STATES["unauthorized"]
    return PhoneFailed(f"{phone.name} ({phone.serial}) is {trouble.state}.", fault=trouble.fault, hint=trouble.hint)


def _explain_build(lines: Sequence[str], log: Path) -> PhoneFailed | ToolMissing:
    """Return why Gradle failed."""
    if any(_JVM_MISSING.search(line) for line in lines):
        return ToolMissing(
            "Gradle finds no Java.", why="It needs a JDK 17 or newer.", hint="Install one, and set JAVA_HOME."
        )
    if any("SDK location not found" in line for line in lines):
        return ToolMissing(
            "Gradle finds no Android SDK.",
            why="The app is built with it.",
            hint="Install it with Android Studio, and set ANDROID_HOME to its folder.",
        )
    if not any(_BUILD_ERROR.search(line) for line in lines) and _GRADLE_REASON in lines:
        after = [line for line in lines[lines.index(_GRADLE_REASON) + 1 :] if line.strip()]
        # "Execution failed for task ..." is followed by its reason.
        reason = next((line for line in after if line.startswith("> ")), after[0] if after else "")
        lines = [reason.removeprefix("> ").lstrip()]
    return create_build_error(lines, _BUILD_ERROR, system="Android", log=log)


def _find_package(folder: Path) -> BuiltApp:
    """Return the package that the Android plugin lists beside it."""
    file = folder / "output-metadata.json"
    try:
        listed = json.loads(read_text(file, error=BadApp, what="the list of what Gradle built"))
        path, identifier = folder / listed["elements"][0]["outputFile"], str(listed["applicationId"])
    except (ValueError, KeyError, IndexError, TypeError, BadApp):
        path, identifier = folder, ""
    if not path.is_file():
        raise PhoneFailed(
            f"Gradle left no package in {folder}.", fault="build", why=f"{file.name} there should name one."
        )
    return BuiltApp(path, identifier)


def _explain_install(ended: Ended, built: BuiltApp, phone: AndroidPhone) -> PhoneFailed:
    """Return why a phone rejects a package."""
    match = _INSTALL_FAILURE.search(ended.text)
    code, said = (match[1], (match[2] or "").strip()) if match else ("", "")
    uninstall = f"Remove that app with its data: adb -s {phone.serial} uninstall {built.identifier}"
    known: dict[str, tuple[PhoneFault, str, str]] = {
        "INSTALL_FAILED_UPDATE_INCOMPATIBLE": (
            "signature",
            "an app of this name with another signature is installed",
            uninstall,
        ),
        "INSTALL_FAILED_INSUFFICIENT_STORAGE": ("no_space", "it has not enough free space", "Free some storage."),
        "INSTALL_FAILED_VERSION_DOWNGRADE": ("install", "a newer version of the app is installed", uninstall),
        "INSTALL_FAILED_USER_RESTRICTED": (
            "install",
            "it forbids installations by USB, or the question on its screen was declined",
            "Allow installations by USB in its developer options, and confirm on its screen.",
        ),
        "INSTALL_FAILED_NO_MATCHING_ABIS": ("install", "it has no 64-bit processor of a known kind", ""),
        "INSTALL_FAILED_OLDER_SDK": ("install", "its Android is older than the app's minSdk", ""),
    }
    by_hand = f"Try: adb -s {phone.serial} install -r {built.path}"
    fault, reason, hint = known.get(code, ("install", code or ended.last_line, by_hand))
    if "not enough space" in ended.text or "No space left" in ended.text:
        fault, reason, hint = known["INSTALL_FAILED_INSUFFICIENT_STORAGE"]
    return PhoneFailed(
        f"{phone.name} rejects the app: {reason}.", fault=fault, why=f"It says: {said}." if said else "", hint=hint
    )
