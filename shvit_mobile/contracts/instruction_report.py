"""A report on the instructions that programs execute on emulated phone CPUs, for one image each.

Instructions are not cycles: a CPU issues several at once, and waits for memory. Unlike times, they are the same in
every run, so a later program can be compared with an earlier one to the digit.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shvit_mobile.contracts.document import Contract, Count, Document, SchemaVersion, Sha256
from shvit_mobile.contracts.drift_row import EmulatedCPU
from shvit_mobile.errors import BadReport

# In the order of `enum kind` in shvit_mobile/runtimes/arm64/counter.c. The first four are multiply-adds: "sdot" and
# "smmla" of int8; "widening" of int8 where a CPU has neither (SMULL, SMLAL); "fmla" of float32 or float16. "simd" is
# other arithmetic on vectors and floats, "permute" what reorders vectors.
InstructionKind = Literal["sdot", "smmla", "widening", "fmla", "load", "store", "branch", "simd", "permute", "other"]
# What a function of the runtime does, judged by what it executes: see `shvit_mobile.runtimes.arm64.counting`.
WorkKind = Literal["int8 products", "float products", "element-wise", "movement and control"]


class OperatorInstructions(Contract):
    """The instructions of one operator that XNNPACK executed, after all that it fuses and rewrites on this CPU.

    Attributes:
        name: XNNPACK's name of it: what it does, its layout and dtypes, and the kind of kernel.
        shape: The shape of its output as XNNPACK stores it: channels last.
        dtype: The dtype of its output.
        instructions: What it executed.
        minimum: The instructions that its multiply-adds alone would need on this CPU; None if it has none.
    """

    name: Annotated[str, Field(min_length=1)]
    shape: tuple[Count, ...]
    dtype: str
    instructions: Annotated[int, Field(ge=1)]
    minimum: Count | None

    def describe_output(self) -> str:
        """Return the dtype and the shape of its output, as "int8 1×56×56×128"."""
        return f"{self.dtype} {'×'.join(map(str, self.shape))}"


class InstructionCount(Contract):
    """The instructions of one program on one CPU, for one image.

    Attributes:
        program: The file name of an artifact, or the name of a stock export.
        artifact_sha256: The SHA-256 of the artifact; None for a stock export.
        precision: Its precision; "mixed" for int8 with layers in float.
        instructions: All that ExecuTorch and XNNPACK executed.
        kinds: The same by kind of instruction.
        work: The same by what the functions do that executed them.
        elsewhere: What the C library, PyTorch and Python executed meanwhile, which is not part of `instructions`:
            Python's part varies from run to run.
        minimum: The instructions that the multiply-adds alone would need on this CPU at this precision; None if they
            are unknown.
        operators: The same by XNNPACK's operators, in the order in which they ran.
        outside: What was executed outside of these: ExecuTorch's own operators, and what leads from one operator to the
            next. None if operators were not counted, as in documents of version 1.0.
        unknown: Why operators cannot be told apart; None if they can, or were not counted.
    """

    program: Annotated[str, Field(min_length=1)]
    artifact_sha256: Sha256 | None
    precision: str
    cpu: EmulatedCPU
    instructions: Annotated[int, Field(ge=1)]
    kinds: dict[InstructionKind, Count]
    work: dict[WorkKind, Count]
    elsewhere: Count
    minimum: Count | None
    operators: tuple[OperatorInstructions, ...] = ()
    outside: Count | None = None
    unknown: str | None = None

    @model_validator(mode="after")
    def _check_sums(self) -> Self:
        sums = {"kinds": sum(self.kinds.values()), "work": sum(self.work.values())}
        if self.operators or self.outside is not None:
            sums["operators"] = sum(one.instructions for one in self.operators) + (self.outside or 0)
        for name, total in sums.items():
            if total != self.instructions:
                raise ValueError(f"{name}: they add up to {total}, not to {self.instructions}")
        return self

    @property
    def minimum_share(self) -> float | None:
        """The share of instructions that multiply-adds require, 0 to 1."""
        return None if self.minimum is None else self.minimum / self.instructions

    def rank_operators(self) -> list[tuple[int, OperatorInstructions]]:
        """Return the operators with their numbers in the order in which they ran, from 1; most instructions first."""
        return sorted(enumerate(self.operators, 1), key=lambda numbered: -numbered[1].instructions)


class InstructionReport(Document):
    """The instructions of several programs: `shvit-mobile benchmark --arch arm64 --out FILE`.

    Attributes:
        created: When they were counted, in ISO 8601.
        app: The command that counted them, with its version.
        engine: The runtime and the emulator.
    """

    NAME = "instruction_report"
    ERROR = BadReport
    TITLE = "a report on instructions"

    schema_version: SchemaVersion = "1.1"
    kind: Literal["instruction_report"] = "instruction_report"
    created: str
    app: str
    engine: str
    counts: Annotated[tuple[InstructionCount, ...], Field(min_length=1)]

    def find(self, program: str, cpu: str) -> InstructionCount | None:
        """Return the count of a program on a CPU, both by name; None if it is not in the report."""
        return next((one for one in self.counts if (one.program, one.cpu.name) == (program, cpu)), None)
