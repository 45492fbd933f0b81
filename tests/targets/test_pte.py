"""What a .pte holds is read from the file alone, and a file that is no program is refused while the process lives."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from shvit_mobile.errors import BadArtifact
from shvit_mobile.targets.pte import inspect_program, normalize_infinities
from tests.programs import lower_program


def test_a_file_without_manifest_has_the_inventory_of_its_manifest(tmp_path: Path) -> None:
    artifact = lower_program("int8").artifact
    (tmp_path / "bare.pte").write_bytes(artifact.path.read_bytes())
    found = inspect_program(tmp_path / "bare.pte")
    assert found.inventory == artifact.manifest.inventory
    assert found.delegation == artifact.manifest.delegation


def test_inspecting_imports_neither_torch_nor_executorch() -> None:
    script = (
        "import sys; from pathlib import Path; from shvit_mobile.targets.pte import inspect_program\n"
        "inspect_program(Path(sys.argv[1])); print('torch' in sys.modules or 'executorch' in sys.modules)"
    )
    path = lower_program("fp32").artifact.path
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, encoding="utf-8")
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_every_operator_of_the_program_is_counted_once() -> None:
    found = inspect_program(lower_program("fp32").artifact.path)
    inside = {name: count for name, count in found.inventory.operators.items() if name.startswith("XNN")}
    left = {name: count for name, count in found.inventory.operators.items() if name.startswith("aten::")}
    assert sum(inside.values()) == found.delegation.delegated_operators
    assert left == found.delegation.left_operators
    assert found.inventory.operators["XnnpackBackend"] == found.delegation.delegates
    assert set(found.inventory.operators) == {*inside, *left, "XnnpackBackend"}


@pytest.mark.parametrize(
    "content", [b"", b"short", b"\0\0\0\0ET1", random.Random(0).randbytes(5000), b"PK\3\4" + bytes(100)]
)
def test_a_file_that_is_not_a_program_is_rejected(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.pte"
    path.write_bytes(content)
    with pytest.raises(BadArtifact, match="is not an ExecuTorch program"):
        inspect_program(path)


def test_a_missing_file_and_a_folder_are_rejected(tmp_path: Path) -> None:
    for path, fact in ((tmp_path, "is a folder"), (tmp_path / "none.pte", "does not exist")):
        with pytest.raises(BadArtifact, match=fact):
            inspect_program(path)


@pytest.mark.parametrize("keep", [8, 20, 40, 500, 5000, -50_000])
def test_a_truncated_program_is_rejected(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "m.pte"
    path.write_bytes(lower_program("fp32").artifact.path.read_bytes()[:keep])
    with pytest.raises(BadArtifact, match="is damaged"):
        inspect_program(path)


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_after_the_magic_are_rejected(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "m.pte"
    path.write_bytes(b"\0\0\0\0ET12" + random.Random(seed).randbytes(20_000))
    with pytest.raises(BadArtifact, match="is damaged"):
        inspect_program(path)


@pytest.mark.parametrize("seed", range(8))
def test_a_program_with_flipped_bytes_is_read_or_rejected(seed: int, tmp_path: Path) -> None:
    data, rng = bytearray(lower_program("fp32").artifact.path.read_bytes()), random.Random(seed)
    for _ in range(40):
        data[rng.randrange(40, 12_000)] ^= rng.randrange(1, 256)
    path = tmp_path / "m.pte"
    path.write_bytes(data)
    with suppress(BadArtifact):
        inspect_program(path)


def test_unbounded_limits_are_read_as_infinities() -> None:
    text = '{\n "output_min": -inf,\n "output_max": inf\n "name": "info: inf,"\n}'
    assert (
        normalize_infinities(text) == '{\n "output_min": -Infinity,\n "output_max": Infinity\n "name": "info: inf,"\n}'
    )
