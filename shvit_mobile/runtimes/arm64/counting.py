"""Count the instructions that a program executes for one image on an emulated CPU, by kind and by work.

Only ExecuTorch's library counts, which contains XNNPACK: the same program has the same count in every run. See
`counter.c` for how.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

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
_EH_FRAME_HEADER = 0x6474E550  # PT_GNU_EH_FRAME (Linux Standard Base)
_SORTED_TABLE = bytes((1, 0x1B, 0x03, 0x3B))  # version 1, offsets of 4 bytes from the header (DW_EH_PE_datarel)


@dataclass(frozen=True)
class Instructions:
    """The instructions of one image: by kind, by work, and outside ExecuTorch's library."""

    kinds: Mapping[InstructionKind, int]
    work: Mapping[WorkKind, int]
    elsewhere: int
    cpu: EmulatedCPU


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


def count_instructions(
    counter: Counter, sysroot: Sysroot, cpu: CPU, program: Path, shape: Sequence[int]
) -> Instructions:
    """Count the instructions of one image, after another one has made the caches.

    Args:
        counter, sysroot: The emulator that counts, and the Linux in it.
        cpu: The CPU to emulate.
        program: A .pte with one float32 input and one float32 output.
        shape: The shape of the input. What an image shows does not change what is executed.

    Raises:
        EmulatorFailed: If the program does not run on this CPU.
    """
    blocks, elsewhere, features = _count_blocks(counter, sysroot, cpu, program, shape)
    kinds = {kind: sum(block.runs * block.instructions[index] for block in blocks) for index, kind in enumerate(_KINDS)}
    cpu_found = EmulatedCPU(arch="arm64", name=cpu.name, features=features)
    work = dict.fromkeys(_WORKS, 0)
    for function in _sort_by_function(blocks, find_functions(find_library(sysroot))):
        work[name_work(function.kinds)] += sum(function.kinds.values())
    return Instructions(kinds, work, elsewhere, cpu_found)


def count_functions(
    counter: Counter, sysroot: Sysroot, cpu: CPU, program: Path, shape: Sequence[int]
) -> list[FunctionInstructions]:
    """Count the instructions of one image by the function that executes them, most first.

    Args:
        counter, sysroot, cpu, program, shape: As for `count_instructions`.

    Raises:
        EmulatorFailed: If the program does not run on this CPU.
    """
    blocks, _, _ = _count_blocks(counter, sysroot, cpu, program, shape)
    functions = _sort_by_function(blocks, find_functions(find_library(sysroot)))
    return sorted(functions, key=lambda one: -sum(one.kinds.values()))


def _count_blocks(
    counter: Counter, sysroot: Sysroot, cpu: CPU, program: Path, shape: Sequence[int]
) -> tuple[list[_Block], int, tuple[str, ...]]:
    """Return the blocks that one image ran, the instructions elsewhere, and the features of the CPU."""
    values = np.random.default_rng(0).uniform(size=tuple(shape)).astype(np.float32).tobytes()
    with TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        process = EmulatedProcess(sysroot, cpu, program, shape, emulator=counter.describe_emulator(counts))
        with closing(process):
            process.compute_outputs(values)
            process.compute_outputs(values, is_counted=True)
            features = process.handshake.features
        if not counts.exists():
            raise EmulatorFailed("The emulator counted nothing.", why="It did not see the marks around the image.")
        *lines, last = counts.read_text(encoding="ascii").splitlines()
    return [_parse_block(line) for line in lines], int(last), tuple(features)


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


def _parse_block(line: str) -> _Block:
    address, runs, *instructions = map(int, line.split())
    return _Block(address, runs, tuple(instructions))


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
