"""Run a program inside the emulated Python: images come in on stdin, outputs go out on stdout.

Usage: `worker.py SITE HIDDEN [PROGRAM SIZES]`: the folder of the wheels; the features to hide, joined by commas; a .pte
and the shape of its input, joined by commas. It imports only the standard library. `process.py` is at the other end of
the pipes.

A frame is a kind (one byte), the length of the payload (8 bytes, little-endian), and the payload. The worker first
sends a `+` with the handshake in JSON. It answers each frame of float32 values, one image, with a `+` and the float32
values of its outputs, one after the other. Instead of either it may send a `!` with an error message. For a frame of
the kind `#` it sets the marks between which `counter.c` counts instructions.
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
DONE, FAILED, COUNTED = b"+", b"!", b"#"

# The system call that is a mark, which Linux does not have, and its arguments: see `counter.c`.
MARK_CALL, START, STOP = 21320, 1, 2

# The offset of each feature's byte in `struct cpuinfo_arm_isa` of an ARM64 build (cpuinfo.h of 2025-03 to 2026-07), and
# the kernel's bit for the same feature: in AT_HWCAP, or from 64 on in AT_HWCAP2 (asm/hwcap.h).
_ISA = ctypes.c_uint8 * 32
_ISA_OFFSETS = {"rdm": 20, "fp16": 21, "dotprod": 22, "bf16": 1, "i8mm": 4, "sve": 2, "sme": 5}
_HWCAP_BITS = {"rdm": 12, "fp16": 10, "dotprod": 20, "bf16": 64 + 14, "i8mm": 64 + 13, "sve": 22, "sme": 64 + 23}
AT_HWCAP, AT_HWCAP2 = 16, 26

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
            _send_frame(frames_out, DONE, answer(values, is_counted=kind == COUNTED))
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
        return lambda values, is_counted: values
    module = binding._load_for_executorch(program)

    # One tensor for all images: PyTorch reads its description again when it frees a tensor.
    memory = (ctypes.c_float * prod(sizes))()
    image = _wrap_memory(torch_c, memory, sizes)

    mark = ctypes.CDLL(None).syscall
    mark.argtypes = [ctypes.c_long] * 4
    inputs = [image]

    def answer(values: bytes, *, is_counted: bool = False) -> bytes:
        ctypes.memmove(memory, values, ctypes.sizeof(memory))
        if is_counted:
            library = _find_library(binding.__file__)
            mark(MARK_CALL, START, *library)
            outputs = module.forward(inputs)
            mark(MARK_CALL, STOP, *library)
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
