"""Doctor reports what works, and exits with status 1 if something does not."""

from __future__ import annotations

import importlib.metadata
import json
from importlib.util import find_spec

import pytest

from tests.cli.conftest import Call


def test_doctor_finds_nothing_wrong_with_this_installation(call: Call) -> None:
    result = call("doctor", "--json")
    values = json.loads(result.stdout)
    assert result.exit_code == 0, result.output
    found = {check["name"]: check for check in values["checks"]}
    assert found["PyTorch"]["found"].endswith(" threads")
    assert found["ExecuTorch runtime"]["found"] == "native, with XNNPACK"
    assert found["torch"]["found"] == importlib.metadata.version("torch")
    coreai = found["Core AI"]["found"]
    assert coreai.startswith("native, coreai-core 1" if find_spec("coreai") else "optional, experimental, not set up")
    assert {"coremltools", "onnxruntime", "Core ML writer", "Core ML runtime", "ONNX Runtime"} <= found.keys()


def test_doctor_ends_with_status_1_if_a_package_is_missing(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shvit_mobile.runtimes.installation.requires", lambda _: ["no-such-package==1.0"])
    monkeypatch.setattr("shvit_mobile.runtimes.installation.ENGINE_CHECKS", {})
    result = call("doctor")
    assert result.exit_code == 1
    assert "no-such-package: not installed. Try: pip install 'no-such-package==1.0'" in result.stderr
    assert "Everything works" not in result.output
