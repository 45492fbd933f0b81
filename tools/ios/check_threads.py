"""Checks that the C++ target of the kit sets the number of threads of the exporter's ExecuTorch.

    python tools/ios/check_threads.py

The XCFrameworks of ExecuTorch have no header for their thread pool, so the target declares its functions itself. Here
it is compiled with the toolchain's clang and runs against ExecuTorch's Python package, which has the same version and
the same C++ code.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys

import swift
from executorch.extension.pybindings import _portable_lib
from typecheck import BUILD, THREAD_POOL

from shvit_mobile.errors import ShvitError

WARNINGS = ("-Wall", "-Wextra", "-Werror")


def compile_target() -> ctypes.CDLL:
    """Compile the target into a library whose open symbols ExecuTorch's Python package resolves."""
    BUILD.mkdir(parents=True, exist_ok=True)
    library = BUILD / "libSHViTThreadPool.so"
    command = [
        *("clang++", "-std=c++17", *WARNINGS, "-shared", "-fPIC", "-nostdlib", "-I", str(THREAD_POOL / "include")),
        *("-o", str(library), str(THREAD_POOL / "SHViTThreadPool.cpp")),
    ]
    result = subprocess.run(swift.build_command(command), capture_output=True, text=True, check=False, encoding="utf-8")
    if result.returncode != 0:
        sys.exit(f"{result.stdout}{result.stderr}error: {THREAD_POOL.name} does not compile.")
    ctypes.CDLL(_portable_lib.__file__, mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(library))


def main() -> None:
    try:
        library = compile_target()
    except ShvitError as reason:
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(2)
    standard = _portable_lib._threadpool_get_thread_count()
    for count, expected in [(standard + 2, standard + 2), (1, 1), (0, standard)]:
        if not library.SHViTSetThreadCount(count):
            sys.exit("error: ExecuTorch has no thread pool.")
        actual = (library.SHViTThreadCount(), _portable_lib._threadpool_get_thread_count())
        if actual != (expected, expected):
            sys.exit(f"error: SHViTSetThreadCount({count}) gives {actual} threads, not {expected}.")
    print(f"{THREAD_POOL.name}: sets ExecuTorch's threads to {standard + 2}, to 1, and back to {standard}")


if __name__ == "__main__":
    main()
