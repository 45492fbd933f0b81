"""Counts the instructions that programs execute on emulated phone CPUs, and compares them with an earlier count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from shvit_mobile.bench.benchmark import export_checkpoint_peers, sample_calibration_images
from shvit_mobile.bench.contestant import BenchmarkSubject, create_subject
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_report import GateVerdict
from shvit_mobile.contracts.instruction_report import InstructionCount, InstructionReport, OperatorInstructions
from shvit_mobile.errors import BadReport, MissingParameter
from shvit_mobile.processes import count_processors
from shvit_mobile.runtimes.arm64.counter import open_counter
from shvit_mobile.runtimes.arm64.counting import Instructions, Operator, count_instructions
from shvit_mobile.runtimes.arm64.cpus import CPU, CPUS, DEFAULT_CPU
from shvit_mobile.runtimes.arm64.runner import check_emulated
from shvit_mobile.runtimes.arm64.sysroot import open_sysroot
from shvit_mobile.versions import format_measured_by, get_timestamp

if TYPE_CHECKING:
    from shvit_mobile.contracts.paths import AnyPath
    from shvit_mobile.families.trained_model import TrainedModel
    from shvit_mobile.images.image_set import ImageSet
    from shvit_mobile.progress import StepCallback

# The multiply-adds of one vector instruction: of int8 by CPU, of floats by precision.
_INT8_PRODUCTS = {"neon": 8, "dotprod": 16, "i8mm": 32}
_FLOAT_PRODUCTS = {"fp32": 4, "fp16": 8}
# The precision in which an operator multiplies, by the dtype of its first input; others are "fp32".
_PRECISIONS = {"int8": "int8", "uint8": "int8", "float16": "fp16"}
_LAYERS = ("Convolution", "Fully Connected", "Dynamic Fully Connected")


def count_artifacts(
    artifacts: Sequence[Artifact] = (),
    *,
    cpus: Sequence[CPU] = (CPUS[DEFAULT_CPU],),
    peer_checkpoint: TrainedModel | None = None,
    calibration: AnyPath | ImageSet | None = None,
    progress: StepCallback | None = None,
) -> InstructionReport:
    """Count the instructions of each program on each CPU, for one image, by kind and by operator.

    Args:
        artifacts: ExecuTorch artifacts for XNNPACK.
        cpus: The CPUs to emulate.
        peer_checkpoint: A checkpoint whose stock exports are counted too.
        calibration: Images on which the stock quantizer calibrates.
        progress: Called with the step, what is done of it, and how much there is in all.

    Raises:
        MissingParameter: If there is nothing to count, or `calibration` is needed.
        BadArtifact: If an artifact is not an ExecuTorch program for XNNPACK.
        ToolMissing: If the emulator or the counter is not set up.
        EmulatorFailed: If a program does not run on a CPU.
    """
    if not (artifacts or peer_checkpoint):
        raise MissingParameter(
            "There is nothing to count.", hint="Give artifacts, or `peer_checkpoint`.", parameter="artifacts"
        )
    if peer_checkpoint and calibration is None:
        raise MissingParameter(
            "`calibration` is missing.", why="Stock quantizers need images.", parameter="calibration"
        )
    for artifact in artifacts:
        check_emulated(artifact, *cpus)
    sysroot, counter = open_sysroot(), open_counter()
    report_step = progress or (lambda *_: None)
    subjects = [create_subject(artifact) for artifact in artifacts]
    with TemporaryDirectory() as folder:
        if peer_checkpoint and calibration is not None:
            report_step("Exporting the peers", 0, 1)
            images = sample_calibration_images(calibration)
            subjects += export_checkpoint_peers(peer_checkpoint, images, Path(folder), 1, ["executorch"])
        jobs = [(subject, cpu) for cpu in cpus for subject in subjects]

        def count(job: tuple[BenchmarkSubject, CPU]) -> Instructions:
            subject, cpu = job
            return count_instructions(counter, sysroot, cpu, Path(subject.source), subject.shape, by_operator=True)

        counts = []
        with ThreadPoolExecutor(count_processors()) as threads:
            for (subject, cpu), found in zip(jobs, threads.map(count, jobs), strict=True):
                counts.append(_build_count(subject, cpu, found))
                report_step("Counting instructions", len(counts), len(jobs))
    versions = sysroot.versions
    return InstructionReport(
        created=get_timestamp(),
        app=format_measured_by("benchmark"),
        engine=f"ExecuTorch {versions.executorch} (XNNPACK), emulated by qemu {counter.emulator_version}",
        counts=tuple(counts),
    )


def _build_count(subject: BenchmarkSubject, cpu: CPU, found: Instructions) -> InstructionCount:
    return InstructionCount(
        program=subject.name,
        artifact_sha256=subject.sha256,
        precision=subject.precision,
        cpu=found.cpu,
        instructions=sum(found.kinds.values()),
        kinds=dict(found.kinds),
        work=dict(found.work),
        elsewhere=found.elsewhere,
        minimum=compute_minimum(subject.macs, subject.precision, cpu),
        operators=tuple(
            OperatorInstructions(
                name=one.name,
                shape=one.output.shape,
                dtype=one.output.dtype,
                instructions=one.instructions,
                minimum=compute_minimum(count_operator_macs(one), _PRECISIONS.get(one.inputs[0].dtype, "fp32"), cpu),
            )
            for one in found.operators
        ),
        outside=found.outside,
        unknown=found.unknown,
    )


def count_operator_macs(operator: Operator) -> int | None:
    """Return the multiply-adds of XNNPACK's operator; None if it is no layer and no matrix product."""
    inputs, output = operator.inputs, operator.output
    if operator.name.startswith("Batch Matrix Multiply"):
        return prod(output.shape) * inputs[0].shape[-1]
    if operator.name.startswith("Deconvolution"):
        return prod(inputs[0].shape) * prod(inputs[1].shape) // inputs[0].shape[-1]
    if operator.name.startswith(_LAYERS):
        # A filter has an output channel first, or last where it is depthwise; the rest is what one output value needs.
        return prod(output.shape) * prod(inputs[1].shape) // output.shape[-1]
    return None


def compute_minimum(macs: int | None, precision: str, cpu: CPU) -> int | None:
    """Return the instructions that multiply-adds alone would need, with full vectors; None if `macs` is unknown.

    A vector has 128 bits: 4 products in float32, 8 in float16, 8 of int8 by SMLAL, 16 by SDOT and 32 by SMMLA. For int8
    all multiply-adds count as int8, also those of layers in float.
    """
    products = _FLOAT_PRODUCTS.get(precision, _INT8_PRODUCTS[cpu.name])
    return None if macs is None else -(-macs // products)


def judge_instructions(report: InstructionReport, baseline: InstructionReport, limit: float) -> GateVerdict:
    """Return whether no program needs more instructions than in an earlier report, beyond a limit.

    Args:
        report: What was counted now; of programs with the same name on the same CPU, those of `baseline` are compared.
        baseline: The earlier report.
        limit: The largest increase, as a share: 0.01 is 1%.

    Raises:
        BadReport: If the reports have no program on the same CPU in common, so that nothing can be judged, or if other
            versions of the runtime or the emulator counted.
    """
    if report.engine != baseline.engine:
        raise BadReport(
            "The earlier report counted something else.",
            why=f"It used {baseline.engine}; this is {report.engine}.",
            hint="Count the earlier programs again.",
            parameter="baseline",
        )
    pairs = [(one, earlier) for one in report.counts if (earlier := baseline.find(one.program, one.cpu.name))]
    if not pairs:
        raise BadReport(
            "The reports have no program in common.",
            why="Programs are compared by name and CPU. The earlier report has "
            + ", ".join(f"{one.program} on {one.cpu.name}" for one in baseline.counts)
            + ".",
            parameter="baseline",
        )
    compared = {id(one) for one, _ in pairs}
    return GateVerdict.from_findings(
        _list_increases(pairs, limit),
        [
            f"{one.program} on {one.cpu.name} is not in the earlier report."
            for one in report.counts
            if id(one) not in compared
        ],
    )


def _list_increases(pairs: Sequence[tuple[InstructionCount, InstructionCount]], limit: float) -> Iterator[str]:
    for one, earlier in pairs:
        more = one.instructions / earlier.instructions - 1
        # Instructions are whole: what rounding adds to the limit is below a millionth of one.
        if one.instructions - earlier.instructions > limit * earlier.instructions + 1e-6:
            yield (
                f"{one.program} executes {one.instructions:,} instructions on {one.cpu.name}, {more:.2%} more than the "
                f"{earlier.instructions:,} of the earlier report; {limit:.2%} are allowed."
            )
