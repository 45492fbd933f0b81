"""The real adb accepts the commands of a run, and the fake one knows no other forms."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shvit_mobile.apps.phone.adb import find_adb, list_android_phones
from shvit_mobile.apps.phone.request import BenchmarkRequest
from shvit_mobile.apps.phone.run import measure_on_phone
from shvit_mobile.contracts.artifact import Artifact
from tests.apps.phone.conftest import SetFault
from tests.apps.phone.fakes import FakeWorld

REAL = shutil.which("adb")


@pytest.fixture
def real_adb(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the real adb with a server of its own."""
    if REAL is None:
        pytest.skip("there is no adb here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free.getsockname()[1]))
    yield REAL
    subprocess.run([REAL, "kill-server"], capture_output=True, check=False, timeout=30)


def test_the_real_adb_accepts_every_command_of_a_run(
    world: FakeWorld, artifact: Artifact, set_fault: SetFault, real_adb: str
) -> None:
    set_fault("", "adb")
    measure_on_phone([artifact.path], BenchmarkRequest("r"), app=world.apps["android"])
    # Without a phone of this serial number, adb answers that, or waits for it; a wrong form ends in another error.
    for program, *arguments in world.list_calls():
        if program != "adb" or "-s" not in arguments[:1]:
            continue
        command = [real_adb, *("no-such-phone" if word == "R5CT" else word for word in arguments)]
        try:
            ended = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=1)
            said = ended.stdout + ended.stderr
        except subprocess.TimeoutExpired as waited:
            said = (waited.stderr or b"").decode()
        assert "device 'no-such-phone' not found" in said or "waiting for device" in said, (arguments, said)


def test_the_real_adb_lists_no_phone_where_there_is_none(real_adb: str) -> None:
    assert [phone for phone in list_android_phones(real_adb) if phone.serial == "*"] == []


def test_adb_is_found_in_the_sdk_of_the_environment(
    world: FakeWorld, set_fault: SetFault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert find_adb() is None
    set_fault("", "adb")
    sdk = tmp_path / "sdk" / "platform-tools"
    sdk.mkdir(parents=True)
    (world.bin / "adb").rename(sdk / "adb")
    monkeypatch.setenv("ANDROID_HOME", str(sdk.parent))
    assert find_adb() == str(sdk / "adb")


def test_a_phone_without_permissions_or_serial_number_is_listed(world: FakeWorld, set_fault: SetFault) -> None:
    set_fault("no_permissions", "adb")
    adb = find_adb()
    assert adb is not None
    (phone,) = list_android_phones(adb)
    assert phone.trouble is not None
    assert phone.trouble.fault == "no_permissions"
