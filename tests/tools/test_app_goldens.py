"""`make app-goldens` exports the demo model once, and again only after a change of its inputs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
# Records its arguments and creates the files that the real command would.
FAKE_COMMAND = """\
#!/bin/sh
echo "$*" >> calls
while [ $# -gt 0 ]; do
    case "$1" in
        --out) mkdir -p "$2" && touch "$2/shvit_s1-224-onnx-fp32.onnx" ;;
        --into) find "$2" -name models -o -name Models | while read folder; do touch "$folder/embedded.json"; done ;;
    esac
    shift
done
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the Makefile, empty inputs from yesterday, and a fake `shvit-mobile`."""
    shutil.copy(MAKEFILE, tmp_path)
    for folder in ("ios_demo/SHViTDemo/Models", "android_demo/app/src/main/assets/models", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    yesterday = MAKEFILE.stat().st_mtime - 86400
    inputs = ("pyproject.toml", "shvit_mobile/a.py", "shvit_mobile/demo/model.safetensors", "cli/b.py")
    for name in (*inputs, ".venv/.installed"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (yesterday, yesterday))
    command = tmp_path / ".venv/bin/shvit-mobile"
    command.write_text(FAKE_COMMAND, encoding="utf-8")
    command.chmod(0o755)
    return tmp_path


def run_make(checkout: Path, *targets: str) -> list[str]:
    """Run make and return the names of the commands that it called."""
    calls = checkout / "calls"
    calls.unlink(missing_ok=True)
    subprocess.run(["make", "-o", ".venv/.installed", *targets], cwd=checkout, check=True, capture_output=True)
    return [line.split()[0] for line in calls.read_text(encoding="utf-8").splitlines()] if calls.exists() else []


def test_the_demo_model_is_exported_and_embedded_once(checkout: Path) -> None:
    assert sorted(run_make(checkout, "app-goldens")) == ["embed", "embed", "export", "export"]
    assert run_make(checkout, "app-goldens") == []


@pytest.mark.parametrize(
    "name", ["shvit_mobile/a.py", "shvit_mobile/demo/model.safetensors", "cli/b.py", "pyproject.toml"]
)
def test_a_changed_input_exports_again(checkout: Path, name: str) -> None:
    run_make(checkout, "app-goldens")
    exported = (checkout / "build/app-goldens/.exported").stat().st_mtime
    os.utime(checkout / name, (exported + 60, exported + 60))
    assert "export" in run_make(checkout, "app-goldens")


def test_a_removed_model_is_embedded_again_without_an_export(checkout: Path) -> None:
    run_make(checkout, "app-goldens")
    (checkout / "android_demo/app/src/main/assets/models/embedded.json").unlink()
    assert run_make(checkout, "app-goldens") == ["embed"]


def test_both_apps_tests_at_once_export_and_embed_once(checkout: Path) -> None:
    python = checkout / ".venv/bin/python"
    python.write_text("#!/bin/sh\n", encoding="utf-8")
    python.chmod(0o755)
    calls = run_make(checkout, "-j2", "test-ios", "test-android")
    # For ExecuTorch, for Core ML, and for ONNX, with which Python compares the pixels of the Swift code.
    assert sorted(calls) == ["embed", "embed", "export", "export", "export"]
    assert run_make(checkout, "-j2", "test-ios", "test-android") == []
