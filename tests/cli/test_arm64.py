"""`validate --arch arm64` and `doctor --install arm64`: both instruction sets in one table, or a word on why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shvit_mobile.cli.tables import build_operator_table, format_execution
from shvit_mobile.contracts.drift_row import DriftRow, EmulatedCPU, ProportionEstimate
from shvit_mobile.contracts.instruction_report import InstructionCount, OperatorInstructions
from shvit_mobile.runtimes.arm64.cpus import is_arm64_host
from tests.cli.conftest import Call, ExportedFiles, SharedFiles

not_emulated = pytest.mark.skipif(is_arm64_host(), reason="this machine is ARM64 itself: nothing is emulated")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cpu", "neon"), "--cpu is given without --arch."),
        (("--arch", "arm46"), "'arm46' is not an architecture.\n       Architectures: arm64. Did you mean arm64?"),
        (("--arch", "arm64", "--cpu", "neno"), "'neno' is not a CPU.\n       CPUs: neon, dotprod, i8mm."),
    ],
)
def test_what_cannot_be_emulated_is_refused_before_anything_runs(
    options: tuple[str, ...], said: str, tmp_path: Path, call: Call
) -> None:
    result = call("validate", tmp_path / "none.pte", *options)
    assert result.exit_code == 2
    assert said in result.stderr


@not_emulated
def test_without_the_emulation_the_command_that_sets_it_up_is_named(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHVIT_ARM64", str(tmp_path / "nowhere"))
    result = call("validate", tmp_path / "none.pte", "--arch", "arm64")
    assert result.exit_code == 2
    assert "shvit-mobile doctor --install arm64" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_only_optional_parts_can_be_installed(call: Call) -> None:
    result = call("doctor", "--install", "riscv64")
    assert result.exit_code == 2
    assert "Optional parts: arm64, litert." in result.stderr


def test_the_table_says_which_cpu_was_emulated() -> None:
    share = ProportionEstimate(value=1, low=0.9, high=1)
    row = DriftRow(
        artifact="m.pte", target="executorch", precision="int8", how="emulated", engine="E", images=1,
        agreement=share, sqnr_db=1, max_abs_error=1, mean_kl=1,
        cpu=EmulatedCPU(arch="arm64", name="i8mm", features=("i8mm",)),
    )  # fmt: skip
    assert format_execution(row) == "emulated\narm64\ni8mm"
    assert format_execution(row.model_copy(update={"how": "native", "cpu": None})) == "native"


@pytest.mark.arm64
@not_emulated
def test_both_instruction_sets_are_side_by_side(world: SharedFiles, exported: ExportedFiles, call: Call) -> None:
    program, graph = exported.artifact("executorch"), exported.artifact("onnx")
    images = ("--checkpoint", world.species, "--images", world.specimens)
    before = program.with_suffix(".manifest.json").read_text(encoding="utf-8")
    result = call(
        "validate", program, graph, *images, "--arch", "arm64", "--cpu", "neon", "--cpu", "i8mm", "--write", "--json"
    )
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    rows = [(row["artifact"], row["how"], row["cpu"] and row["cpu"]["name"]) for row in told["rows"]]
    assert rows == [
        (program.name, "native", None),
        (program.name, "emulated", "neon"),
        (program.name, "emulated", "i8mm"),
        (graph.name, "native", None),
    ]
    for apart in told["apart"]:
        assert apart["artifact"] == program.name
        assert apart["images"] == 12
        assert apart["agreement"]["value"] == 1
        assert apart["max_abs_error"] < 0.1
    assert ["neon" in apart["second"] for apart in told["apart"]] == [True, False]
    assert f"{graph.name} ran on this machine only" in result.stderr
    written = json.loads(program.with_suffix(".manifest.json").read_text(encoding="utf-8"))
    assert written["drift"] == told["rows"][0], "the manifest keeps the row of this machine"
    assert written.keys() == json.loads(before).keys()


@pytest.mark.arm64
@not_emulated
def test_doctor_starts_the_emulation_and_names_its_parts(call: Call) -> None:
    checks = {check["name"]: check for check in json.loads(call("doctor", "--json").stdout)["checks"]}
    assert checks["ARM64"]["good"]
    assert "emulated: ExecuTorch 1.3.1, Python 3." in checks["ARM64"]["found"]
    assert "i8mm has rdm, fp16, dotprod, bf16, i8mm" in checks["ARM64"]["found"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cpu", "neon"), "--cpu is given without --arch."),
        (("--by-operator",), "--by-operator is given without --arch."),
        (("--max-more-instructions", "1%"), "--max-more-instructions is given without --arch."),
        (("--arch", "arm64", "--max-more-instructions", "1%"), "is given without --baseline."),
        (("--arch", "arm64", "--max-more-instructions", "-1"), "--max-more-instructions is '-1'."),
        (("--arch", "arm64", "--models", "mobilenetv2_100"), "--arch is given with --models."),
        (("--arch", "arm64", "--baseline", "none.json"), "none.json does not exist"),
    ],
)
def test_counting_says_what_does_not_fit(options: tuple[str, ...], said: str, tmp_path: Path, call: Call) -> None:
    result = call("benchmark", tmp_path / "none.pte", *options)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())


def test_the_table_of_operators_has_those_that_execute_most_and_all_that_is_left() -> None:
    operators = [
        OperatorInstructions(name="Convert (NC)", shape=(1, 8), dtype="int8", instructions=number * 1000, minimum=None)
        for number in range(1, 12)
    ]
    layer = OperatorInstructions(
        name="Fully Connected (NC, F32) GEMM", shape=(1, 4, 5), dtype="float32", instructions=800_000, minimum=200_000
    )
    count = InstructionCount(
        program="m.pte", artifact_sha256=None, precision="int8",
        cpu=EmulatedCPU(arch="arm64", name="i8mm", features=()), instructions=1_000_000, kinds={"load": 1_000_000},
        work={"element-wise": 1_000_000}, elsewhere=0, minimum=None, operators=(*operators, layer), outside=134_000,
    )  # fmt: skip
    table = build_operator_table(count)
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    assert len(columns[0]) == 12
    assert [column[0] for column in columns] == [
        "Fully Connected (NC, F32) GEMM", "float32 1×4×5", "12", "0.80", "80.0", "25",
    ]  # fmt: skip
    assert [column[-2] for column in columns] == ["the other 2", "", "", "0.00", "0.3", "–"]
    assert [column[-1] for column in columns] == ["outside of operators", "", "", "0.13", "13.4", "–"]
    shares = sum(map(float, columns[4]))
    assert shares == pytest.approx(100, abs=0.6)


@not_emulated
def test_without_the_counter_the_command_that_sets_it_up_is_named(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch, exported: ExportedFiles
) -> None:
    monkeypatch.setenv("SHVIT_ARM64_COUNTER", str(tmp_path / "nowhere"))
    result = call("benchmark", exported.artifact("executorch"), "--arch", "arm64")
    assert result.exit_code == 2
    assert "shvit-mobile doctor --install arm64" in result.stderr


@not_emulated
def test_only_programs_for_xnnpack_are_counted(call: Call, exported: ExportedFiles) -> None:
    result = call("benchmark", exported.artifact("onnx"), "--arch", "arm64")
    assert result.exit_code == 2
    assert "cannot run on the emulated ARM64 CPU" in result.stderr
