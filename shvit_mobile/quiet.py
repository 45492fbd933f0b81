"""Imports and runs other libraries without their warnings; their exceptions pass through."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from tempfile import TemporaryFile
from typing import Any

from shvit_mobile.errors import ToolMissing, get_first_line

_ONNX, _LITERT = "'shvit-mobile-core[onnx]'", "'shvit-mobile-core[litert]'"
# What to install for a library that not every installation has, as in pyproject.toml.
REQUIREMENTS = {
    "coreai": "coreai-torch==0.4.3",
    "coreai_torch": "coreai-torch==0.4.3",
    "coremltools": "coremltools==9.0",
    "executorch": "executorch==1.4.1",
    "onnx": _ONNX,
    "onnx_ir": _ONNX,
    "onnxruntime": _ONNX,
    "onnxscript": _ONNX,
    "ai_edge_litert": _LITERT,
    "scipy": _LITERT,
}
_STDERR = 2
_NOISY_LOGGERS = (
    "root",
    "torchao",
    "torch",
    "torch.utils._pytree",
    "coremltools",
    "executorch",
    "onnxscript",
    "onnx_ir",
)


@contextmanager
def silence_libraries() -> Iterator[None]:
    """Drop warnings, and log records of `_NOISY_LOGGERS` below the level ERROR, inside the context.

    The libraries warn about their own deprecations and about hardware that is not here; the user cannot act on it.
    """
    loggers = [logging.getLogger(name) for name in _NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def import_library(module: str, why: str) -> Any:
    """Import a module of another library without its warnings.

    Args:
        module: The dotted name of the module.
        why: What the library does here, for the error.

    Raises:
        ToolMissing: If the library is not installed, or cannot be loaded.
    """
    try:
        with silence_libraries():
            return import_module(module)
    except ImportError as reason:
        raise build_missing_error(module.partition(".")[0], why, reason) from reason


def build_missing_error(library: str, why: str, reason: ImportError | None = None) -> ToolMissing:
    """Return the error for a library that is not installed, or whose import fails for another `reason`."""
    if reason is not None and find_spec(library) is not None:
        return ToolMissing(
            f"{library} cannot be loaded: {get_first_line(reason)}.",
            why=why,
            hint=f"pip install --force-reinstall {REQUIREMENTS[library]}",
        )
    return ToolMissing(f"{library} is not installed.", why=why, hint=f"pip install {REQUIREMENTS[library]}")


@contextmanager
def capture_native_stderr() -> Iterator[Callable[[], str]]:
    """Capture what C++ writes to standard error; the yielded function returns it.

    ExecuTorch writes there why it rejects a file. All threads share standard error, so keep the context short.
    """
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    try:
        saved_stderr = os.dup(_STDERR)
    except OSError:  # the process has no standard error
        yield lambda: ""
        return
    with TemporaryFile() as captured:

        def read_stderr() -> str:
            captured.seek(0)
            return captured.read().decode(errors="replace")

        os.dup2(captured.fileno(), _STDERR)
        try:
            yield read_stderr
        finally:
            os.dup2(saved_stderr, _STDERR)
            os.close(saved_stderr)
