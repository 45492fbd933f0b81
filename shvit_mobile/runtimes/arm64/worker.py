"""Runs a program inside the emulated Python: images come in on stdin, logits go out on stdout.

Started as `worker.py SITE HIDDEN [PROGRAM SIZES]`: the folder of the wheels; the features to hide, joined by commas; a
.pte and the sizes of its input, joined by commas. It needs the standard library alone. `process.py` is at the other end
of the pipes.

A frame is a kind (one byte), the length of what follows (8 bytes, little-endian), and that. First comes a `+` with JSON
on what was found. Then each frame of float32 values, one image, is answered by a `+` with float32 logits. Instead of
either may come a `!` with the reason in words.
"""

from __future__ import annotations

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
DONE, FAILED = b"+", b"!"

# Where `struct cpuinfo_arm_isa` holds a byte for each feature in an ARM64 build (cpuinfo.h of 2025-03 to 2026-07), and
# the bit that the kernel sets for the same: in AT_HWCAP, or from 64 on in AT_HWCAP2 (asm/hwcap.h).
ISA = ctypes.c_uint8 * 32
ISA_OFFSETS = {"rdm": 20, "fp16": 21, "dotprod": 22, "bf16": 1, "i8mm": 4, "sve": 2, "sme": 5}
HWCAP_BITS = {"rdm": 12, "fp16": 10, "dotprod": 20, "bf16": 64 + 14, "i8mm": 64 + 13, "sve": 22, "sme": 64 + 23}
AT_HWCAP, AT_HWCAP2 = 16, 26

CPU_DEVICE, FLOAT_CODE, FLOAT_BITS = 1, 2, 32  # as DLPack numbers them
KEPT_ALIVE: list[Any] = []


class DLManagedTensor(ctypes.Structure):
    """A tensor as DLPack describes it (dlpack.h): memory of ours that PyTorch takes for one of its tensors."""

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
    """Answers images until stdin ends."""
    frames_in, frames_out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the frames
    try:
        sys.path.insert(0, site)
        torch_c = import_bare_torch(site)
        cpu = f"{site}/torch/lib/libtorch_cpu.so"
        found = hide_features(ctypes.CDLL(cpu), [name for name in hidden.split(",") if name])
        answer = load_program(torch_c, program, [int(size) for size in sizes.split(",") if size])
        hello = {"python": platform.python_version(), "features": found}
        send_frame(frames_out, DONE, json.dumps(hello).encode())
    except Exception as reason:
        send_frame(frames_out, FAILED, encode_error(reason))
        return
    while head := frames_in.read(FRAME_HEADER.size):
        values = frames_in.read(FRAME_HEADER.unpack(head)[1])
        try:
            send_frame(frames_out, DONE, answer(values))
        except Exception as reason:
            send_frame(frames_out, FAILED, encode_error(reason))


def import_bare_torch(site: str) -> Any:
    """PyTorch's library with none of its Python around, whose import takes three quarters of the time.

    ExecuTorch's binding takes tensors of the class that PyTorch's Python declares; here it is declared anew, beside the
    few names that the library looks up when it is told of it.
    """
    declare_module("torch", f"{site}/torch")
    torch_c = import_module("torch._C")

    tensor = type("Tensor", (torch_c.TensorBase,), {"__module__": "torch"})
    declare_module("torch._tensor").Tensor = tensor
    declare_module("torch.autograd").Function = object
    declare_module("torch.autograd.graph").GradientEdge = tuple
    declare_module("torch.nn")
    declare_module("torch.nn.parameter").Parameter = tensor
    torch_c._autograd_init()
    return torch_c


def declare_module(name: str, *folders: str) -> Any:
    """A module that holds nothing yet, under a name that others will import."""
    module: Any = ModuleType(name)
    module.__path__ = list(folders)
    sys.modules[name] = module
    return module


def hide_features(library: ctypes.CDLL, hidden: Sequence[str]) -> list[str]:
    """The features that XNNPACK will find in this CPU, once those of `hidden` are hidden.

    XNNPACK asks cpuinfo, whose one copy is in PyTorch's library; so it is overwritten before XNNPACK asks.

    Raises:
        RuntimeError: cpuinfo and the kernel's word do not agree, so the places of the features are not as assumed.
    """
    if not library.cpuinfo_initialize():
        raise RuntimeError("cpuinfo cannot tell what this CPU is")
    isa = ISA.in_dll(library, "cpuinfo_isa")
    auxiliary = ctypes.CDLL(None).getauxval
    auxiliary.restype, auxiliary.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    bits = auxiliary(AT_HWCAP) | auxiliary(AT_HWCAP2) << 64
    for name, place in ISA_OFFSETS.items():
        if isa[place] != bits >> HWCAP_BITS[name] & 1:
            raise RuntimeError(f"cpuinfo says {isa[place]} for {name}, and the kernel says otherwise")
    for name in hidden:
        isa[ISA_OFFSETS[name]] = 0
    return [name for name, place in ISA_OFFSETS.items() if isa[place]]


def load_program(torch_c: Any, program: str, sizes: Sequence[int]) -> Callable[[bytes], bytes]:
    """ExecuTorch's binding with a program in it, as a function of an image's bytes; without one, only the binding."""
    binding: Any = import_module("executorch.extension.pybindings._portable_lib")
    binding._unsafe_reset_threadpool(1)  # the images are shared out over processes
    if not program:
        return lambda values: values
    module = binding._load_for_executorch(program)

    # One tensor for all images: PyTorch looks back into its description when it lets go of one.
    memory = (ctypes.c_float * prod(sizes))()
    image = wrap_memory(torch_c, memory, sizes)

    def answer(values: bytes) -> bytes:
        ctypes.memmove(memory, values, ctypes.sizeof(memory))
        (logits,) = module.forward([image])
        return ctypes.string_at(logits.data_ptr(), ctypes.sizeof(ctypes.c_float) * logits.numel())

    return answer


def wrap_memory(torch_c: Any, memory: Any, sizes: Sequence[int]) -> Any:
    """A float32 tensor that lies in `memory`, and lives as long as this process."""
    shape = (ctypes.c_int64 * len(sizes))(*sizes)
    described = DLManagedTensor(
        data=ctypes.addressof(memory),
        device_type=CPU_DEVICE,
        ndim=len(sizes),
        code=FLOAT_CODE,
        bits=FLOAT_BITS,
        lanes=1,
        shape=shape,
    )
    KEPT_ALIVE.append((memory, shape, described))
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.restype, capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return torch_c._from_dlpack(capsule(ctypes.addressof(described), b"dltensor", None))


def send_frame(frames: BinaryIO, kind: bytes, payload: bytes) -> None:
    frames.write(FRAME_HEADER.pack(kind, len(payload)) + payload)
    frames.flush()


def encode_error(reason: Exception) -> bytes:
    return f"{type(reason).__name__}: {reason}".encode(errors="replace")


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # the libraries' own farewells crash now and then under emulation, when all is said
