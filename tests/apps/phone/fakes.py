"""Stand-ins for adb, gradlew, xcodebuild and devicectl: a phone that runs the app, and what can go wrong with it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.apps.builders import android_app, ios_app, written
from tests.fixtures import FIXTURES

# Read by every fake: $FAKE_FAULT names what goes wrong, $FAKE_PHONE is the folder of the phone's state.
PREAMBLE = """#!{python} -SE
import json, os, pathlib, shlex, sys, time
fault, home, args = os.environ.get("FAKE_FAULT", ""), pathlib.Path(os.environ["FAKE_PHONE"]), sys.argv[1:]
with (home / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps([pathlib.Path(sys.argv[0]).name, *args]) + "\\n")

def end(*lines, status=1):
    print(*lines, sep="\\n", file=sys.stderr, flush=True)
    sys.exit(status)

def say(line):
    print(line, flush=True)

def write_report(run_id):
    report = json.loads((home / "template.json").read_text())
    report["run_id"] = "an-older-run" if fault == "stale" else run_id
    text = json.dumps(report)
    (home / "report.json").write_text(text[: len(text) // 2] if fault == "damaged" else text)
"""

ADB = """
serial = "R5CT"
gone = home / "gone"
if args[:1] == ["-s"]:
    serial, args = args[1], args[2:]
    if serial != "R5CT" or gone.exists():
        end(f"adb: device '{serial}' not found")
if args[:1] == ["shell"]:
    args = ["shell", *shlex.split(" ".join(args[1:]))]
package = "dev.shvit.demo"
reports = f"/storage/emulated/0/Android/data/{package}/files/reports/"
match args:
    case ["devices", "-l"]:
        about = "usb:1-1 product:dm1q model:SM_S911B device:dm1q transport_id:1"
        listed = {
            "none": [],
            "two": [f"R5CT                   device {about}", "emulator-5554          device model:sdk_gphone64"],
            "and_offline": ["8A1X                   offline usb:1-2", f"R5CT                   device {about}"],
            "no_permissions": [
                "????????????           no permissions (missing udev rules? user is in the plugdev group); see "
                "[http://developer.android.com/tools/device.html] usb:1-1 transport_id:1"
            ],
            **{state: [f"R5CT                   {state} usb:1-1"] for state in ("unauthorized", "offline", "recovery")},
        }.get(fault, [f"R5CT                   device {about}"])
        if fault == "broken_adb":
            end("error: protocol fault (couldn't read status): Connection reset by peer")
        print("* daemon not running; starting now at tcp:5037", "List of devices attached", *listed, "", sep="\\n")
    case ["install", "-r", apk]:
        say("Performing Streamed Install")
        code = {
            "signature": "INSTALL_FAILED_UPDATE_INCOMPATIBLE: Package dev.shvit.demo signatures do not match",
            "no_space": "INSTALL_FAILED_INSUFFICIENT_STORAGE: Failed to override installation location",
            "restricted": "INSTALL_FAILED_USER_RESTRICTED: Install canceled by user",
            "strange": "INSTALL_PARSE_FAILED_NOT_APK",
        }.get(fault)
        if code:
            end(f"adb: failed to install {apk}: Failure [{code}]")
        say("Success")
    case ["shell", "input" | "wm", *_] | ["shell", "am", "force-stop", _]:
        pass
    case ["shell", "dumpsys", "window"]:
        say(f"  mDreamingLockscreen={'true' if fault == 'locked' else 'false'}")
    case ["shell", "date", "+%s"]:
        (home / "started.json").unlink(missing_ok=True)
        say("1764370000")
    case ["shell", "am", "start", "-S", "-W", "-n", component, *extras]:
        if fault == "start":
            say("Error type 3")
            say(f"Error: Activity class {{{component}}} does not exist.")
        else:
            values = dict(zip(extras[1::3], extras[2::3]))
            (home / "started.part").write_text(json.dumps(values))
            (home / "started.part").rename(home / "started.json")
            say("Status: ok")
    case ["shell", "pidof", name]:
        if fault == "crash":
            sys.exit(1)
        say("1234")
    case ["logcat", "-v", "tag", "-T", _, "-s", *_]:
        say("I/shvit: [an-older-run] report: /sdcard/old.json")
        for _ in range(3000):
            if (home / "started.json").exists():
                break
            time.sleep(0.01)
        run_id = json.loads((home / "started.json").read_text())["run_id"]
        tag = f"/shvit: [{run_id}] "
        say(f"I{tag}0 % shvit.pte")
        if fault == "disconnected":
            gone.touch()
            sys.exit(0)
        if fault == "crash":
            say("E/AndroidRuntime: FATAL EXCEPTION: benchmark")
            say(f"E/AndroidRuntime: Process: {package}, PID: 1234")
            say("E/AndroidRuntime: java.lang.OutOfMemoryError: 64 MB of 512 MB free")
            say("E/AndroidRuntime: \\tat dev.shvit.Models.load(Models.kt:12)")
        if fault in ("crash", "silent"):
            time.sleep(30)
        if fault in ("not_measured", "partly"):
            say(f"I{tag}error: shvit.pte is damaged.")
        if fault == "low_power":
            say(f"I{tag}error: A power-saving mode is on. It slows it. Switch it off, or set allow_low_power.")
        if fault == "too_warm":
            say(f"I{tag}error: The phone's thermal state is fair. It did not cool. Let it cool, or set allow_heat.")
        if fault in ("not_measured", "low_power", "too_warm"):
            say(f"I{tag}no report")
            time.sleep(30)
        say(f"I{tag}50 % shvit.pte")
        write_report(run_id)
        say(f"I{tag}100 %")
        if fault == "gone_before_pull":  # before the line, since the report is pulled as soon as it is printed
            gone.touch()
        say(f"I{tag}report: {reports}{'another' if fault == 'other_run' else run_id}.json")
        time.sleep(30)
    case ["pull", source, target]:
        if fault == "no_report":
            end(f"adb: error: failed to stat remote object '{source}': No such file or directory")
        pathlib.Path(target).write_bytes((home / "report.json").read_bytes())
        say("1 file pulled")
    case _:
        end(f"adb: unknown command {args}")
"""

GRADLEW = """
said = {
    "build": [
        "> Task :app:compileReleaseKotlin FAILED",
        "e: file:///app/Main.kt:3:5 Unresolved reference 'shvit'.",
        "e: file:///app/Main.kt:9:1 Unresolved reference 'other'.",
    ],
    "build_reason": [
        "FAILURE: Build failed with an exception.",
        "",
        "* What went wrong:",
        "Execution failed for task ':app:mergeReleaseAssets'.",
        "> Asset file is larger than 2 GB",
    ],
    "java": ["ERROR: JAVA_HOME is not set and no 'java' command could be found in your PATH."],
    "sdk": [
        "* What went wrong:",
        "Could not determine the dependencies of task ':app:assembleRelease'.",
        "> SDK location not found. Define a valid SDK location with an ANDROID_HOME environment variable.",
    ],
}.get(fault)
if said:
    print(*said, sep="\\n")
    sys.exit(1)
folder = pathlib.Path("app/build/outputs/apk/release")
folder.mkdir(parents=True, exist_ok=True)
if fault != "no_package":
    (folder / "app-release.apk").write_text("a package")
elements = [{"outputFile": "app-release.apk"}]
listed = {"version": 3, "applicationId": "dev.shvit.demo", "variantName": "release", "elements": elements}
(folder / "output-metadata.json").write_text(json.dumps(listed))
print("BUILD SUCCESSFUL in 2s")
"""

XCRUN = """
program, *args = args
options = dict(zip(args, args[1:]))
identifier = "shvit-mobile.ABCDE12345.Demo"
if program == "xcodebuild":
    said = {
        "build": ["/app/Main.swift:3:5: error: cannot find 'shvit' in scope", "** BUILD FAILED **"],
        "signing": ['error: Signing for "Demo" requires a development team. Select one (in target "Demo")'],
        "xcode": ["xcode-select: error: tool 'xcodebuild' requires Xcode, but active developer directory is /Library"],
    }.get(fault)
    if said:
        print(*said, sep="\\n")
        sys.exit(65)
    app = pathlib.Path(options["-derivedDataPath"], "Build/Products/Release-iphoneos/Demo.app")
    app.mkdir(parents=True, exist_ok=True)
    if fault != "no_package":
        import plistlib
        (app / "Info.plist").write_bytes(plistlib.dumps({"CFBundleIdentifier": identifier}))
    sys.exit(0)
if program != "devicectl":
    end(f"xcrun: error: unable to find utility \\"{program}\\", not a developer tool or in PATH")
if fault == "no_devicectl":
    end('xcrun: error: unable to find utility "devicectl", not a developer tool or in PATH')
gone = home / "gone"
core = "(com.apple.dt.CoreDeviceError error 1 (0x1))"
match args:
    case ["list", "devices", "--json-output", file]:
        if fault == "broken_devicectl":
            end(f"ERROR: The operation could not be completed. {core}")
        unpaired, disabled = fault == "unauthorized", fault == "developer_mode"
        tunnel = "unavailable" if fault == "offline" or gone.exists() else "disconnected"
        def device(name, udid, platform="iOS"):
            return {
                "identifier": udid + "-core",
                "connectionProperties": {
                    "pairingState": "unpaired" if unpaired else "paired", "tunnelState": tunnel
                },
                "deviceProperties": {"name": name, "developerModeStatus": "disabled" if disabled else "enabled"},
                "hardwareProperties": {"platform": platform, "udid": udid, "marketingName": "iPhone 15 Pro"},
            }
        devices = [device("Ada's iPhone", "00008130"), device("Ada's Watch", "00008301", "watchOS")]
        if fault == "none":
            devices = devices[1:]
        if fault == "two":
            devices.append(device("Test iPhone", "00008140"))
        pathlib.Path(file).write_text("[" if fault == "unreadable" else json.dumps({"result": {"devices": devices}}))
    case ["device", "install", "app", app, "--device", "00008130"]:
        said = {
            "signature": "Upgrade's application-identifier entitlement string does not match installed application's",
            "no_space": "This app can't be installed because there isn't enough storage.",
            "profile": "A valid provisioning profile for this executable was not found. (0xe8008015)",
            "strange": "The item at Demo.app is not a valid bundle.",
        }.get(fault)
        if fault == "gone_at_install":
            gone.touch()
            end(f"ERROR: The device was disconnected. {core}")
        if said:
            end(f"ERROR: Failed to install the app on the device. {core}", f"NSLocalizedFailureReason = {said}")
        say("App installed:")
    case ["device", "process", "launch", "--console", "--terminate-existing", "--device", _, bundle, *words]:
        said = {
            "locked": "Unable to launch because the device was not, or could not be, unlocked.",
            "untrusted": "Unable to launch because it has an invalid code signature, inadequate entitlements or its "
            "profile has not been explicitly trusted by the user.",
            "start": "The request to open the app failed.",
        }.get(fault)
        if said:
            end(f"ERROR: The application failed to launch. {core}", f"    NSLocalizedFailureReason = {said}")
        values = dict(zip(words[::2], words[1::2]))
        (home / "started.json").write_text(json.dumps(values))
        run_id = values["-run-id"]
        say("Launched application with the identifier.")
        say(f"[{run_id}] 0% shvit on CPU")
        if fault == "crash":
            say("Demo/Model.swift:12: Fatal error: Index out of range")
            end("App terminated due to signal 5.")
        if fault == "disconnected":
            gone.touch()
            end("ERROR: The connection was interrupted.")
        if fault == "silent":
            time.sleep(30)
        if fault in ("not_measured", "partly"):
            say(f"[{run_id}] error: shvit on CPU: The model is damaged.")
        if fault == "low_power":
            say(f"[{run_id}] error: Low-power mode is on. It slows it. Switch it off, or set -allow-low-power true.")
        if fault == "too_warm":
            say(f"[{run_id}] error: The thermal state is fair. It did not cool. Let it cool, or set -allow-heat true.")
        if fault in ("not_measured", "low_power", "too_warm"):
            sys.exit(1)
        write_report(run_id)
        name = "another" if fault == "other_run" else run_id
        say(f"[{run_id}] Report: /var/mobile/Containers/Data/Application/1A/Documents/{name}.json")
    case ["device", "copy", "from", *rest, "--device", "00008130"]:
        if fault == "gone_before_pull":
            gone.touch()
        if fault in ("no_report", "gone_before_pull"):
            end(f"ERROR: The file could not be opened because there is no such file. {core}")
        pathlib.Path(options["--destination"]).write_bytes((home / "report.json").read_bytes())
    case _:
        end(f"error: unknown arguments {args}")
"""


@dataclass(frozen=True)
class FakeWorld:
    """An app of each system, the fake tools, and the state of the phone.

    Attributes:
        bin: The folder of the tools, which is the whole PATH.
        home: The folder of the phone's state.
        apps: The source tree of each system's app.
    """

    bin: Path
    home: Path
    apps: dict[str, Path]

    def list_calls(self) -> list[list[str]]:
        """Return the commands that were run, the name of the program first."""
        file = self.home / "calls.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []

    def read_start(self) -> dict[str, str]:
        """Return the settings with which the app was started."""
        started: dict[str, str] = json.loads((self.home / "started.json").read_text(encoding="utf-8"))
        return started


def build_world(folder: Path, artifact_name: str, artifact_sha256: str) -> FakeWorld:
    """Write the fakes; their phone reports that it measured this artifact."""
    world = FakeWorld(folder / "bin", folder / "home", {})
    world.bin.mkdir(parents=True)
    world.home.mkdir()
    world.apps["android"], world.apps["ios"] = android_app(folder / "android"), ios_app(folder / "ios")
    report = json.loads((FIXTURES / "device_report" / "pixel-8.json").read_text(encoding="utf-8"))
    own = {"name": artifact_name, "artifact_sha256": artifact_sha256, "precision": "fp32", "size_bytes": None}
    result = {**report["results"][0], **own}
    written(world.home / "template.json", json.dumps({**report, "fixture": False, "results": [result]}))
    write_tool(world.apps["android"] / "gradlew", GRADLEW)
    return world


def write_tool(file: Path, source: str) -> None:
    """Write a fake program."""
    written(file, PREAMBLE.replace("{python}", sys.executable) + source)
    file.chmod(0o755)


TOOLS = {"adb": ADB, "xcrun": XCRUN}
