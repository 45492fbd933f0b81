"""Run a program inside the emulated Python: images come in on stdin, outputs go out on stdout.

Usage: `worker.py SITE HIDDEN [PROGRAM SIZES]`: the folder of the wheels; the features to hide, joined by commas; a .pte
and the shape of its input, joined by commas. It imports only the standard library. `process.py` is at the other end of
the pipes.

A frame is a kind (one byte), the length of the payload (8 bytes, little-endian), and the payload. The worker first
sends a `+` with the handshake in JSON. It answers each frame of float32 values, one image, with a `+` and the float32
values of its outputs, one after the other. Instead of either it may send a `!` with an error message. For a frame of
the kind `#` it sets the marks between which `counter.c` counts instructions. For one of the kind `?` it answers what
XNNPACK executes for an image: a JSON list of operators, in their order, as `_OperatorReader` describes them.
"""

import ctypes
import json
import os
import platform
import struct
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from math import prod
from types import ModuleType
from typing import Any, BinaryIO

FRAME_HEADER = struct.Struct("<cQ")
DONE, FAILED, COUNTED, DESCRIBED = b"+", b"!", b"#", b"?"

# The system call that is a mark, which Linux does not have, and its arguments: see `counter.c`.
MARK_CALL, START, STOP = 21320, 1, 2

# The offset of each feature's byte in `struct cpuinfo_arm_isa` of an ARM64 build (cpuinfo.h of 2025-03 to 2026-07), and
# the kernel's bit for the same feature: in AT_HWCAP, or from 64 on in AT_HWCAP2 (asm/hwcap.h).
_ISA = ctypes.c_uint8 * 32
_ISA_OFFSETS = {"rdm": 20, "fp16": 21, "dotprod": 22, "bf16": 1, "i8mm": 4, "sve": 2, "sme": 5}
_HWCAP_BITS = {"rdm": 12, "fp16": 10, "dotprod": 20, "bf16": 64 + 14, "i8mm": 64 + 13, "sve": 22, "sme": 64 + 23}
AT_HWCAP, AT_HWCAP2 = 16, 26

# A call in ARM64's machine code (`bl`: the upper 6 bits, and a distance in instructions), and the first instruction of
# a function that only leads to another library (`adrp x16`), without its distance.
_CALL, _STUB, _STUB_MASK = 0b100101, 0x90000010, 0x9F00001F
_CODE = struct.Struct("<64I")

# What XNNPACK's structures contain where (src/xnnpack/subgraph.h, commit 1adaa7c): in the runtime, the operators and
# the values, each with their number; in an operator, its objects, and its inputs and outputs by number; in a value, its
# shape, its own number and its dtype. `_OperatorReader` compares them with what the library says.
_RUNTIME = struct.Struct("<8x4Q")
_OPERATOR = struct.Struct("<8x5Q112x6I2I48x")
_VALUE = struct.Struct("<24x7Q56xI4xI12x")
_MAX_INPUTS, _MAX_DIMS = 5, 6
_BASIC_PROFILING = 8  # the flag of a runtime that knows its operators' names
_COUNT_INFO, _NAME_INFO = 0, 1  # xnn_profile_info

CPU_DEVICE, FLOAT_CODE, FLOAT_BITS = 1, 2, 32  # DLPack's numbers
_KEPT_ALIVE: list[Any] = []


class _DLManagedTensor(ctypes.Structure):
    """DLPack's description of a tensor (dlpack.h), with which PyTorch uses our memory as a tensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


def main(site: str, hidden: str, program: str = "", sizes: str = "") -> None:
    """Answer images until stdin ends."""
    frames_in, frames_out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that libraries cannot print between the frames
    try:
        sys.path.insert(0, site)
        torch_c = _import_bare_torch(site)
        cpu = f"{site}/torch/lib/libtorch_cpu.so"
        features = _hide_features(ctypes.CDLL(cpu), [name for name in hidden.split(",") if name])
        answer = _load_program(torch_c, program, [int(size) for size in sizes.split(",") if size])
        handshake = {"python": platform.python_version(), "features": features}
        _send_frame(frames_out, DONE, json.dumps(handshake).encode())
    except Exception as reason:
        _send_frame(frames_out, FAILED, _encode_error(reason))
        return
    while head := frames_in.read(FRAME_HEADER.size):
        kind, length = FRAME_HEADER.unpack(head)
        values = frames_in.read(length)
        try:
            _send_frame(frames_out, DONE, answer(kind, values))
        except Exception as reason:
            _send_frame(frames_out, FAILED, _encode_error(reason))


def _import_bare_torch(site: str) -> Any:
    """Import PyTorch's library without its Python code, which would take three quarters of the startup time.

    ExecuTorch's binding needs the tensor class that PyTorch's Python declares, so this declares it, and the few other
    names that the library looks up.
    """
    _declare_module("torch", f"{site}/torch")
    torch_c = import_module("torch._C")

    tensor = type("Tensor", (torch_c.TensorBase,), {"__module__": "torch"})
    _declare_module("torch._tensor").Tensor = tensor
    _declare_module("torch.autograd").Function = object
    _declare_module("torch.autograd.graph").GradientEdge = tuple
    _declare_module("torch.nn")
    _declare_module("torch.nn.parameter").Parameter = tensor
    torch_c._autograd_init()
    return torch_c


def _declare_module(name: str, *folders: str) -> Any:
    """Create an empty module under a name that others import."""
    module: Any = ModuleType(name)
    module.__path__ = list(folders)
    sys.modules[name] = module
    return module


def _hide_features(library: ctypes.CDLL, hidden: Sequence[str]) -> list[str]:
    """Hide features of this CPU from XNNPACK, and return those that it will find.

    XNNPACK asks cpuinfo, whose only copy is in PyTorch's library; this overwrites its answers before XNNPACK asks.

    Raises:
        RuntimeError: If cpuinfo and the kernel disagree, so that the offsets of the features are wrong.
    """
    if not library.cpuinfo_initialize():
        raise RuntimeError("cpuinfo cannot identify this CPU")
    isa = _ISA.in_dll(library, "cpuinfo_isa")
    auxiliary = ctypes.CDLL(None).getauxval
    auxiliary.restype, auxiliary.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    bits = auxiliary(AT_HWCAP) | auxiliary(AT_HWCAP2) << 64
    for name, offset in _ISA_OFFSETS.items():
        if isa[offset] != bits >> _HWCAP_BITS[name] & 1:
            raise RuntimeError(f"cpuinfo says {isa[offset]} for {name}, and the kernel disagrees")
    for name in hidden:
        isa[_ISA_OFFSETS[name]] = 0
    return [name for name, offset in _ISA_OFFSETS.items() if isa[offset]]


def _load_program(torch_c: Any, program: str, sizes: Sequence[int]) -> Callable[..., bytes]:
    """Load a program and return a function from an image's bytes to its outputs' bytes.

    Without a program, load only the binding.
    """
    binding: Any = import_module("executorch.extension.pybindings._portable_lib")
    binding._unsafe_reset_threadpool(1)  # each process runs other images
    if not program:
        return lambda kind, values: values
    module = binding._load_for_executorch(program)

    # One tensor for all images: PyTorch reads its description again when it frees a tensor.
    memory = (ctypes.c_float * prod(sizes))()
    image = _wrap_memory(torch_c, memory, sizes)

    mark = ctypes.CDLL(None).syscall
    mark.argtypes = [ctypes.c_long] * 6
    inputs = [image]

    def answer(kind: bytes, values: bytes) -> bytes:
        if kind == DESCRIBED:
            return json.dumps(_OperatorReader(binding).read(program, inputs)).encode()
        ctypes.memmove(memory, values, ctypes.sizeof(memory))
        if kind == COUNTED:
            places = (*_find_library(binding.__file__), *_find_operator_call(ctypes.CDLL(binding.__file__)))
            mark(MARK_CALL, START, *places)
            outputs = module.forward(inputs)
            mark(MARK_CALL, STOP, *places)
        else:
            outputs = module.forward(inputs)
        size = ctypes.sizeof(ctypes.c_float)
        return b"".join(ctypes.string_at(tensor.data_ptr(), size * tensor.numel()) for tensor in outputs)

    return answer


def _find_library(path: str) -> tuple[int, int]:
    """Return where a library is in memory: its first address, and the one behind its last."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        ranges = [line.split()[0].split("-") for line in maps if line.rstrip().endswith(path)]
    return int(ranges[0][0], 16), int(ranges[-1][1], 16)


def _find_function(library: ctypes.CDLL, name: str) -> int:
    """Return the address of a library's function."""
    return ctypes.cast(library[name], ctypes.c_void_p).value or 0


def _find_operator_call(library: ctypes.CDLL) -> tuple[int, int]:
    """Return where the function that runs an operator begins, and where it returns to.

    It has no name, but is the first of the library's functions that `xnn_invoke_runtime` calls, in its loop.

    Raises:
        RuntimeError: If there is no such call.
    """
    begin = _find_function(library, "xnn_invoke_runtime")
    for index, word in enumerate(_CODE.unpack(ctypes.string_at(begin, _CODE.size))):
        if word >> 26 == _CALL:
            distance = (word & 0x03FFFFFF) - ((word & 0x02000000) << 1)
            target = begin + 4 * (index + distance)
            (first,) = struct.unpack("<I", ctypes.string_at(target, 4))
            if first & _STUB_MASK != _STUB:
                return target, begin + 4 * (index + 1)
    raise RuntimeError("XNNPACK runs operators in a way that is not known here")


class _OperatorReader:
    """Reads which operators XNNPACK executes for an image, after all that it fuses and rewrites on this CPU.

    It loads the program once more, with operators that know their names, which a flag of XNNPACK's runtimes requires.
    ExecuTorch does not set it, so for that time its calls of two functions lead here.
    """

    def __init__(self, binding: Any) -> None:
        self._binding = binding
        self._library = ctypes.CDLL(binding.__file__)
        self._runtimes: list[int] = []

    def read(self, program: str, inputs: list[Any]) -> list[dict[str, Any]]:
        """Return the operators in the order in which they run.

        Each has XNNPACK's `name`, how many `runs` of the function that runs operators it takes, and the shape and the
        number of the dtype (`enum xnn_datatype`) of each of its `inputs` and `outputs`.

        Raises:
            RuntimeError: If XNNPACK's structures are not as expected.
        """
        pointer, status = ctypes.c_void_p, ctypes.c_int
        create_type = ctypes.CFUNCTYPE(status, pointer, pointer, pointer, pointer, ctypes.c_uint32, pointer)
        invoke_type = ctypes.CFUNCTYPE(status, pointer)
        places = [_find_function(self._library, name) for name in ("xnn_create_runtime_v4", "xnn_invoke_runtime")]
        create, invoke = create_type(places[0]), invoke_type(places[1])

        def create_named(graph: int, cache: int, workspace: int, threads: int, flags: int, out: int) -> int:
            return create(graph, cache, workspace, threads, flags | _BASIC_PROFILING, out)

        def invoke_noted(runtime: int) -> int:
            self._runtimes.append(runtime)
            return invoke(runtime)

        replacements = [create_type(create_named), invoke_type(invoke_noted)]
        slots = [self._find_slot(place) for place in places]
        try:
            for slot, replacement in zip(slots, replacements, strict=True):
                slot.value = ctypes.cast(replacement, pointer).value or 0
            module = self._binding._load_for_executorch(program)
            module.forward(inputs)
        finally:
            for slot, place in zip(slots, places, strict=True):
                slot.value = place
        return [operator for runtime in self._runtimes for operator in self._read_runtime(runtime)]

    def _find_slot(self, function: int) -> ctypes.c_uint64:
        """Return the entry through which the library calls one of its own exported functions."""
        size = ctypes.sizeof(ctypes.c_uint64)
        slots = []
        with open("/proc/self/maps", encoding="utf-8") as maps:
            for line in maps:
                place, access, *_ = line.split()
                if line.rstrip().endswith(self._binding.__file__) and "w" in access:
                    begin, end = (int(part, 16) for part in place.split("-"))
                    words = struct.unpack(f"<{(end - begin) // size}Q", ctypes.string_at(begin, end - begin))
                    slots += [begin + size * index for index, word in enumerate(words) if word == function]
        if len(slots) != 1:
            raise RuntimeError(f"XNNPACK's function is called through {len(slots)} entries, not one")
        return ctypes.c_uint64.from_address(slots[0])

    def _read_runtime(self, runtime: int) -> list[dict[str, Any]]:
        operators, operator_count, values, value_count = _RUNTIME.unpack(ctypes.string_at(runtime, _RUNTIME.size))
        names = self._read_names(runtime)
        found = []
        for index in range(operator_count):
            fields = _OPERATOR.unpack(ctypes.string_at(operators + _OPERATOR.size * index, _OPERATOR.size))
            objects, (inputs, *input_ids), (outputs, *output_ids) = fields[:5], fields[5:11], fields[11:]
            if not objects[0]:
                continue  # fused with another
            if inputs > _MAX_INPUTS or outputs < 1:
                raise RuntimeError("XNNPACK's operators are not laid out as expected")
            tensors = [
                [self._read_value(values, number, value_count) for number in ids]
                for ids in (input_ids[:inputs], output_ids[:1])
            ]
            found.append({"runs": sum(map(bool, objects)), "inputs": tensors[0], "outputs": tensors[1]})
        if len(found) != len(names):
            raise RuntimeError(f"XNNPACK names {len(names)} operators, and {len(found)} were found")
        return [{"name": name, **operator} for name, operator in zip(names, found, strict=True)]

    def _read_value(self, values: int, number: int, count: int) -> dict[str, Any]:
        if number >= count:
            raise RuntimeError("XNNPACK's operators are not laid out as expected")
        *shape, found, dtype = _VALUE.unpack(ctypes.string_at(values + _VALUE.size * number, _VALUE.size))
        rank, *sizes = shape
        if found != number or rank > _MAX_DIMS:
            raise RuntimeError("XNNPACK's values are not laid out as expected")
        return {"shape": sizes[:rank], "dtype": dtype}

    def _read_names(self, runtime: int) -> list[str]:
        ask = self._library.xnn_get_runtime_profiling_info
        ask.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p]
        count, size = ctypes.c_size_t(), ctypes.c_size_t()
        failed = ask(runtime, _COUNT_INFO, ctypes.sizeof(count), ctypes.byref(count), ctypes.byref(size))
        ask(runtime, _NAME_INFO, 0, None, ctypes.byref(size))  # says only how much memory it needs
        text = ctypes.create_string_buffer(size.value)
        failed = failed or ask(runtime, _NAME_INFO, size.value, text, ctypes.byref(size))
        names = text.raw.decode().split("\0")[:-1]
        if failed or len(names) != count.value:
            raise RuntimeError(f"XNNPACK does not name its operators (status {failed})")
        return names


def _wrap_memory(torch_c: Any, memory: Any, sizes: Sequence[int]) -> Any:
    """Return a float32 tensor that uses `memory`, and lives as long as this process."""
    shape = (ctypes.c_int64 * len(sizes))(*sizes)
    description = _DLManagedTensor(
        data=ctypes.addressof(memory),
        device_type=CPU_DEVICE,
        ndim=len(sizes),
        code=FLOAT_CODE,
        bits=FLOAT_BITS,
        lanes=1,
        shape=shape,
    )
    _KEPT_ALIVE.append((memory, shape, description))
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.restype, capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return torch_c._from_dlpack(capsule(ctypes.addressof(description), b"dltensor", None))


def _send_frame(frames: BinaryIO, kind: bytes, payload: bytes) -> None:
    frames.write(FRAME_HEADER.pack(kind, len(payload)) + payload)
    frames.flush()


def _encode_error(reason: Exception) -> bytes:
    return f"{type(reason).__name__}: {reason}".encode(errors="replace")


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # the libraries' cleanup sometimes crashes under emulation
