"""Count the instructions that a program executes for one image on an emulated CPU, by kind, by work and by operator.

Only ExecuTorch's library counts, which contains XNNPACK: the same program has the same count in every run. See
`counter.c` for how.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np

from shvit_mobile.contracts.drift_row import EmulatedCPU
from shvit_mobile.contracts.instruction_report import InstructionKind, WorkKind
from shvit_mobile.runtimes.arm64.counter import Counter
from shvit_mobile.runtimes.arm64.cpus import CPU
from shvit_mobile.runtimes.arm64.process import EmulatedProcess, EmulatorFailed
from shvit_mobile.runtimes.arm64.sysroot import Sysroot

_KINDS: tuple[InstructionKind, ...] = get_args(InstructionKind)
_WORKS: tuple[WorkKind, ...] = get_args(WorkKind)
_INT8_PRODUCTS: tuple[InstructionKind, ...] = ("sdot", "smmla", "widening")
# The least share of multiply-adds, and of other arithmetic, in what a function executes, to be called after it. The
# kernels of XNNPACK for products have 0.3 to 0.9 of them, those for additions 0.2 of arithmetic.
_PRODUCT_SHARE, _ARITHMETIC_SHARE = 0.05, 0.1
# The dtypes by their number in XNNPACK (`enum xnn_datatype`), whatever their scales are and however they are packed.
_DTYPES = (
    *("invalid", "float32", "float16", "int8", "uint8", "int32", "int8", "int32", "int4", "int8", "int8", "int32"),
    *("int4", "float32", "bfloat16", "uint8", "float16", "int8", "int2"),
)
_EH_FRAME_HEADER = 0x6474E550  # PT_GNU_EH_FRAME (Linux Standard Base)
_SORTED_TABLE = bytes((1, 0x1B, 0x03, 0x3B))  # version 1, offsets of 4 bytes from the header (DW_EH_PE_datarel)


@dataclass(frozen=True)
class Tensor:
    """The shape of a tensor, as XNNPACK stores it (channels last), and its dtype: "int8", "float32"."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Operator:
    """An operator that XNNPACK executed, after all that it fuses and rewrites on this CPU.

    Attributes:
        name: XNNPACK's name of it.
        inputs: Its inputs; weights and a bias are inputs too.
        output: Its first output.
        instructions: What it executed.
    """

    name: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    instructions: int


@dataclass(frozen=True)
class Instructions:
    """The instructions of one image: by kind, by work, by operator, and outside ExecuTorch's library.

    Attributes:
        operators: XNNPACK's operators in the order in which they ran; empty unless they were asked for.
        outside: What ExecuTorch's library executed outside of XNNPACK's operators. It is counted, not computed as a
            difference, so that with all operators it adds up to all instructions. None if they cannot be told apart.
        unknown: Why operators that were asked for cannot be told apart; None if they can.
    """

    kinds: Mapping[InstructionKind, int]
    work: Mapping[WorkKind, int]
    elsewhere: int
    cpu: EmulatedCPU
    operators: tuple[Operator, ...] = ()
    outside: int | None = None
    unknown: str | None = None


@dataclass(frozen=True)
class FunctionInstructions:
    """The instructions of one function of ExecuTorch's library for one image.

    Attributes:
        address: Its address in the library.
        calls: How often it was entered at its beginning; 0 for assembly, which has no beginning of its own here.
        kinds: Its instructions by kind.
    """

    address: int
    calls: int
    kinds: Mapping[InstructionKind, int]


@dataclass(frozen=True)
class _Block:
    """A block of instructions: its address in the library, how often it ran, and its instructions by kind."""

    address: int
    runs: int
    instructions: tuple[int, ...]


@dataclass(frozen=True)
class _Counts:
    """What the plugin counted for one image.

    Attributes:
        blocks: The blocks of ExecuTorch's library that ran.
        runs: The instructions of each run of XNNPACK's function that runs an operator.
        outside: Those of the library outside of these runs.
        elsewhere: Those outside the library.
        features: The features of the CPU.
        operators: The operators that XNNPACK executes, as the process describes them; empty unless asked for.
        unknown: Why the process cannot describe them; None if it can.
    """

    blocks: tuple[_Block, ...]
    runs: tuple[int, ...]
    outside: int
    elsewhere: int
    features: tuple[str, ...]
    operators: tuple[dict[str, Any], ...]
    unknown: str | None


def count_instructions(
    counter: Counter, sysroot: Sysroot, cpu: CPU, program: Path, shape: Sequence[int], *, by_operator: bool = False
) -> Instructions:
    """Count the instructions of one image, after another one has made the caches.

    Args:
        counter, sysroot: The emulator that counts, and the Linux in it.
        cpu: The CPU to emulate.
        program: A .pte with one float32 input and one float32 output.
        shape: The shape of the input. What an image shows does not change what is executed.
        by_operator: Whether to name XNNPACK's operators too, which takes as long as loading the program and computing
            one more image. It does not change what is counted.

    Raises:
        EmulatorFailed: If the program does not run on this CPU.
    """
    counts = _count_image(counter, sysroot, cpu, program, shape, by_operator=by_operator)
    kinds = {
        kind: sum(block.runs * block.instructions[index] for block in counts.blocks)
        for index, kind in enumerate(_KINDS)
    }
    cpu_found = EmulatedCPU(arch="arm64", name=cpu.name, features=counts.features)
    work = dict.fromkeys(_WORKS, 0)
    for function in _sort_by_function(counts.blocks, find_functions(find_library(sysroot))):
        work[name_work(function.kinds)] += sum(function.kinds.values())
    if not by_operator:
        return Instructions(kinds, work, counts.elsewhere, cpu_found)
    unknown = counts.unknown or _find_mismatch(counts)
    if unknown:
        return Instructions(kinds, work, counts.elsewhere, cpu_found, unknown=unknown)
    operators = tuple(_match_operators(counts))
    return Instructions(kinds, work, counts.elsewhere, cpu_found, operators, counts.outside)


def count_functions(
    counter: Counter, sysroot: Sysroot, cpu: CPU, program: Path, shape: Sequence[int]
) -> list[FunctionInstructions]:
    """Count the instructions of one image by the function that executes them, most first.

    Args:
        counter, sysroot, cpu, program, shape: As for `count_instructions`.

    Raises:
        EmulatorFailed: If the program does not run on this CPU.
    """
    counts = _count_image(counter, sysroot, cpu, program, shape)
    functions = _sort_by_function(counts.blocks, find_functions(find_library(sysroot)))
    return sorted(functions, key=lambda one: -sum(one.kinds.values()))


def _count_image(
    counter: Counter, sysroot: Sysroot, cpu: CPU, program: Path, shape: Sequence[int], *, by_operator: bool = False
) -> _Counts:
    """Count what one image runs."""
    values = np.random.default_rng(0).uniform(size=tuple(shape)).astype(np.float32).tobytes()
    with TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        process = EmulatedProcess(sysroot, cpu, program, shape, emulator=counter.describe_emulator(counts))
        with closing(process):
            process.compute_outputs(values)
            process.compute_outputs(values, is_counted=True)
            described, unknown = list[dict[str, Any]](), None
            if by_operator:
                try:
                    described = process.describe_operators()
                except EmulatorFailed as reason:  # the count itself is right
                    unknown = str(reason)
            features = process.handshake.features
        if not counts.exists():
            raise EmulatorFailed("The emulator counted nothing.", why="It did not see the marks around the image.")
        lines: dict[str, list[tuple[int, ...]]] = {"operator": [], "outside": [], "block": [], "elsewhere": []}
        for line in counts.read_text(encoding="ascii").splitlines():
            word, *numbers = line.split()
            lines[word].append(tuple(map(int, numbers)))
    return _Counts(
        blocks=tuple(_Block(address, runs, tuple(kinds)) for address, runs, *kinds in lines["block"]),
        runs=tuple(map(sum, lines["operator"])),
        outside=sum(map(sum, lines["outside"])),
        elsewhere=sum(map(sum, lines["elsewhere"])),
        features=tuple(features),
        operators=tuple(described),
        unknown=unknown,
    )


def _find_mismatch(counts: _Counts) -> str | None:
    """Return why the runs are not those of the operators; None if they are."""
    expected = sum(described["runs"] for described in counts.operators)
    if expected == len(counts.runs):
        return None
    return f"XNNPACK has {expected} operators to run, and ran {len(counts.runs)}"


def _match_operators(counts: _Counts) -> Iterator[Operator]:
    """Yield each operator with the instructions of its runs: one, or for a concatenation one for each input."""
    runs = iter(counts.runs)
    for described in counts.operators:
        inputs, (output,) = (tuple(map(_read_tensor, described[part])) for part in ("inputs", "outputs"))
        yield Operator(described["name"], inputs, output, sum(islice(runs, described["runs"])))


def _read_tensor(described: dict[str, Any]) -> Tensor:
    return Tensor(tuple(described["shape"]), _DTYPES[described["dtype"]])


def find_library(sysroot: Sysroot) -> Path:
    """Return ExecuTorch's library in a sysroot."""
    return next((sysroot.site / "executorch/extension/pybindings").glob("_portable_lib*.so"))


@cache
def find_functions(library: Path) -> tuple[int, ...]:
    """Return the addresses at which functions of an ELF library begin, sorted.

    They come from its table for unwinding, which is there without symbols; hand-written assembly is not in it and
    counts to the function before it (Linux Standard Base 5.0, Core, chapter 10.6.2).
    """
    data = library.read_bytes()
    offset, size, count = (*struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54))
    headers = (struct.unpack_from("<IIQQ", data, offset + index * size) for index in range(count))
    place, address = next((header[2], header[3]) for header in headers if header[0] == _EH_FRAME_HEADER)
    if data[place : place + 4] != _SORTED_TABLE:
        raise EmulatorFailed(f"{library.name} has a table of functions that is not known here.")
    (functions,) = struct.unpack_from("<I", data, place + 8)
    table = np.frombuffer(data, np.dtype("<i4"), 2 * functions, place + 12)
    return tuple(int(start) + address for start in table[::2])


def _sort_by_function(blocks: Iterable[_Block], functions: Sequence[int]) -> list[FunctionInstructions]:
    """Return the instructions of each function that executed some."""
    executed: dict[int, Tally[InstructionKind]] = {}
    calls = Tally[int]()
    for block in blocks:
        function = functions[max(0, bisect_right(functions, block.address) - 1)]
        tally = executed.setdefault(function, Tally())
        tally.update({kind: block.runs * number for kind, number in zip(_KINDS, block.instructions, strict=True)})
        calls[function] += block.runs if block.address == function else 0
    return [FunctionInstructions(function, calls[function], dict(tally)) for function, tally in executed.items()]


def name_work(executed: Mapping[InstructionKind, int]) -> WorkKind:
    """Return what a function does that executes these instructions."""
    total = sum(executed.values())
    if sum(executed.get(kind, 0) for kind in _INT8_PRODUCTS) >= _PRODUCT_SHARE * total:
        return "int8 products"
    if executed.get("fmla", 0) >= _PRODUCT_SHARE * total:
        return "float products"
    arithmetic = executed.get("simd", 0)
    if arithmetic >= max(_ARITHMETIC_SHARE * total, executed.get("permute", 0)):
        return "element-wise"
    return "movement and control"
