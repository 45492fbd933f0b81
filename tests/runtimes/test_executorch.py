"""The ExecuTorch runner gives the program's logits, and a clear word where there can be none; the process lives."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shvit_mobile.contracts.artifact import Artifact, get_manifest_path
from shvit_mobile.errors import BadArtifact, ShapeMismatch
from shvit_mobile.quiet import capture_native_stderr
from shvit_mobile.runtimes import open_runner
from shvit_mobile.runtimes.executorch import ExecuTorchRunner
from tests.programs import SIZE, compute_float_logits, draw_pictures, lower_program


def open_program(path: Path) -> ExecuTorchRunner:
    return ExecuTorchRunner(Artifact(path, lower_program("fp32").artifact.manifest))


def test_the_engine_is_named_and_the_execution_is_native() -> None:
    runner = open_runner(lower_program("fp32").artifact)
    assert isinstance(runner, ExecuTorchRunner)
    assert runner.execution == "native"
    assert runner.engine == "ExecuTorch 1.4.1 (XNNPACK)"


def test_each_image_gets_its_own_logits_whatever_its_memory_layout() -> None:
    lowered, pixels = lower_program("fp32"), draw_pictures(3)
    runner = ExecuTorchRunner(lowered.artifact)
    together = runner.run(pixels)
    assert together.dtype == np.float32
    assert together.shape == (3, 7)
    assert len(np.unique(together, axis=0)) == 3
    turned = np.asfortranarray(pixels[::-1])
    np.testing.assert_array_equal(runner.run(turned), together[::-1])
    np.testing.assert_allclose(together, compute_float_logits(lowered.deployed, pixels), atol=1e-3)


def test_the_program_outlives_its_file_and_the_garbage_collector(tmp_path: Path) -> None:
    path = tmp_path / "m.pte"
    path.write_bytes(lower_program("fp32").artifact.path.read_bytes())
    runner, pixels = open_program(path), draw_pictures(1)
    before = runner.run(pixels)
    path.unlink()
    gc.collect()
    np.testing.assert_array_equal(runner.run(pixels), before)


def test_no_images_give_no_logits() -> None:
    assert ExecuTorchRunner(lower_program("fp32").artifact).run(draw_pictures(1)[:0]).shape == (0, 7)


@pytest.mark.parametrize("shape", [(1, 97, 65, 3), (1, 64, 96, 3), (1, 65, 97, 1), (*SIZE, 3)])
def test_images_of_another_shape_are_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeMismatch, match=r"takes \(65, 97, 3\)"):
        ExecuTorchRunner(lower_program("fp32").artifact).run(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("field", ["shape", "classes"])
def test_a_manifest_of_another_artifact_is_rejected(field: str) -> None:
    artifact = lower_program("fp32").artifact
    manifest = artifact.manifest
    changed = (
        {"input": manifest.input.model_copy(update={"shape": (1, 3, 64, 64)})}
        if field == "shape"
        else {"model": manifest.model.model_copy(update={"classes": 9})}
    )
    with pytest.raises(BadArtifact, match=r"float32 \(1, 3, 65, 97\) -> float32 \(1, 7\), its manifest says"):
        ExecuTorchRunner(replace(artifact, manifest=manifest.model_copy(update=changed)))


@pytest.mark.parametrize("content", [b"", b"no program at all", random.Random(0).randbytes(5000)])
def test_bytes_without_the_magic_never_reach_the_runtime(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.pte"
    path.write_bytes(content)
    with pytest.raises(BadArtifact, match="is not an ExecuTorch program"):
        open_program(path)


def test_a_missing_file_and_a_folder_are_rejected(tmp_path: Path) -> None:
    for path, fact in ((tmp_path, "is a folder"), (tmp_path / "none.pte", "does not exist")):
        with pytest.raises(BadArtifact, match=fact):
            open_program(path)


def test_damaged_programs_are_rejected_without_output_from_the_library(tmp_path: Path) -> None:
    """In a process of its own, because a runtime that trusted one of these files would abort it."""
    artifact = lower_program("fp32").artifact
    good = artifact.path.read_bytes()
    files = {
        "half": good[: len(good) // 2],
        "header": good[:60],
        "magic": good[:8],
        "random": b"\0\0\0\0ET12" + random.Random(1).randbytes(20_000),
        "flipped": good[:100] + random.Random(2).randbytes(4000) + good[4100:],
    }
    for name, content in files.items():
        (tmp_path / f"{name}.pte").write_bytes(content)
    script = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from shvit_mobile.errors import BadArtifact\n"
        "from shvit_mobile.contracts.artifact import Artifact\n"
        "from shvit_mobile.runtimes.executorch import ExecuTorchRunner\n"
        "good = Artifact.open(Path(sys.argv[1]))\n"
        "for path in sys.argv[2:]:\n"
        "    try: ExecuTorchRunner(Artifact(Path(path), good.manifest))\n"
        "    except BadArtifact as refused: print(refused.what)\n"
        "print(ExecuTorchRunner(good).run(np.zeros((1, 65, 97, 3), np.uint8)).shape)"
    )
    paths = sorted(tmp_path.glob("*.pte"))
    done = subprocess.run(
        [sys.executable, "-c", script, artifact.path, *paths], capture_output=True, text=True, encoding="utf-8"
    )
    assert (done.returncode, done.stderr) == (0, "")
    *refusals, last = done.stdout.splitlines()
    assert last == "(1, 7)"
    assert [refusal.split(":")[0] for refusal in refusals] == [f"ExecuTorch cannot load {path}" for path in paths]
    told = {path.stem: refusal for path, refusal in zip(paths, refusals, strict=True)}
    assert "File size is too small" in told["half"]
    assert ".cpp" not in done.stdout


def test_only_the_fingerprint_tells_changed_weights(tmp_path: Path) -> None:
    artifact = lower_program("fp32").artifact
    for file in (artifact.path, get_manifest_path(artifact.path)):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / artifact.path.name
    data = bytearray(path.read_bytes())
    data[-20_000] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(BadArtifact, match="is not the file its manifest describes"):
        Artifact.open(path)


def test_standard_error_comes_back_after_a_load(capfd: pytest.CaptureFixture[str]) -> None:
    with suppress(KeyError), capture_native_stderr() as said:
        os.write(2, b"[program.cpp:1] inside\n")
        assert said() == "[program.cpp:1] inside\n"
        raise KeyError
    os.write(2, b"outside\n")
    assert capfd.readouterr().err == "outside\n"
