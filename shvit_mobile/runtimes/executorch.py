"""Runs ExecuTorch artifacts with ExecuTorch's own runtime, on this machine's CPU."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.errors import BadArtifact, ToolMissing
from shvit_mobile.quiet import silence_libraries
from shvit_mobile.runtimes.runner import check_size, prepare_input
from shvit_mobile.targets.pte import read_program_bytes

STDERR = 2
FLOAT32_CODE = 6  # float32 in ExecuTorch's enumeration of dtypes


class ExecuTorchRunner:
    """A loaded ExecuTorch artifact; a `Runner`.

    Attributes:
        how: "native", always: the same runtime runs in an app, with the kernels of its own CPU.
        engine: ExecuTorch, its version and the backend.
    """

    execution: Execution = "native"
    engine: str

    def __init__(self, artifact: Artifact) -> None:
        """Loads the program, all of its weights included.

        Weights that were changed without changing the structure load and run: the artifact's SHA-256 tells, which
        `Artifact.open` compares.

        Raises:
            BadArtifact: it is damaged, or has another input or output than its manifest says.
            ToolMissing: executorch is not installed.
        """
        self.engine = f"ExecuTorch {version('executorch')} (XNNPACK)"
        self._artifact = artifact
        # The method points into the program; that it keeps it alive is promised nowhere.
        self._program, self._method = load_program(artifact.path)
        check_contract(artifact, self._method.metadata)

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The logits of some images, one at a time: programs are made for a batch of one.

        Args:
            pixels: as `Preprocessing.pixels` gives them: uint8, shape (images, height, width, 3).

        Returns:
            float32, shape (images, classes).

        Raises:
            ShapeMismatch: the images are not of the size the artifact takes.
            BadArtifact: the program fails.
        """
        manifest = self._artifact.manifest
        check_size(self._artifact, pixels)
        logits = np.empty((len(pixels), manifest.model.classes), np.float32)
        for index in range(len(pixels)):
            logits[index] = self._compute_logits(prepare_input(manifest, pixels[index : index + 1]))
        return logits

    def _compute_logits(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        # A channels-last tensor would be taken for a contiguous one and give wrong numbers without an error.
        image = torch.from_numpy(values).contiguous()
        try:
            outputs = self._method.execute([image])
        except RuntimeError as reason:
            raise BadArtifact(f"ExecuTorch cannot run {self._artifact.path}: {reason}") from reason
        logits: NDArray[np.float32] = outputs[0][0].numpy()
        return logits


def load_program(path: Path) -> tuple[Any, Any]:
    """The program and its method `forward`.

    Raises:
        BadArtifact: ExecuTorch cannot load them.
        ToolMissing: executorch is not installed.
    """
    # Bytes without the magic abort the process; with it, the runtime verifies all offsets and refuses in good order.
    read_program_bytes(path)
    runtime = import_runtime()
    with capture_native_stderr() as said:
        try:
            program = runtime.load_program(path)
            return program, program.load_method("forward")
        except (RuntimeError, KeyError) as reason:
            raise BadArtifact(
                f"ExecuTorch cannot load {path}: {extract_error_message(reason, said())}",
                why="It may be damaged, or made for a newer ExecuTorch.",
                hint="Export it again: shvit-mobile export --target executorch",
            ) from reason


def import_runtime() -> Any:
    try:
        with silence_libraries():
            from executorch.runtime import Runtime
    except ImportError:
        raise ToolMissing(
            "executorch is not installed.", why="It runs .pte programs.", hint="pip install executorch==1.4.1"
        ) from None
    return Runtime.get()


def check_contract(artifact: Artifact, metadata: Any) -> None:
    """Raises `BadArtifact` unless the program takes and gives what the manifest says."""
    manifest = artifact.manifest
    there = format_signature(metadata)
    if there != format_expected_signature(manifest):
        raise BadArtifact(
            f"{artifact.path} takes and gives {there}, its manifest says {format_expected_signature(manifest)}.",
            why="Its manifest is of another artifact.",
            hint="Export it again.",
        )


def format_signature(metadata: Any) -> str:
    inputs = [format_tensor_type(metadata.input_tensor_meta(index)) for index in range(metadata.num_inputs())]
    outputs = [format_tensor_type(metadata.output_tensor_meta(index)) for index in range(metadata.num_outputs())]
    return f"{', '.join(inputs)} -> {', '.join(outputs)}"


def format_tensor_type(tensor: Any) -> str:
    dtype = "float32" if tensor.dtype() == FLOAT32_CODE else f"dtype {tensor.dtype()}"
    return f"{dtype} {tuple(tensor.sizes())}"


def format_expected_signature(manifest: Manifest) -> str:
    return f"{manifest.input.dtype} {manifest.input.shape} -> float32 {(1, manifest.model.classes)}"


@contextmanager
def capture_native_stderr() -> Iterator[Callable[[], str]]:
    """While open, what C++ writes to standard error is kept; the function given returns it.

    ExecuTorch tells there why it refuses a file, and what it cannot find out about the CPU. All threads of the process
    share standard error, so this is for a moment only.
    """
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    try:
        own = os.dup(STDERR)
    except OSError:  # there is no standard error to keep clean
        yield lambda: ""
        return
    with TemporaryFile() as kept:

        def said() -> str:
            kept.seek(0)
            return kept.read().decode(errors="replace")

        os.dup2(kept.fileno(), STDERR)
        try:
            yield said
        finally:
            os.dup2(own, STDERR)
            os.close(own)


def extract_error_message(reason: Exception, stderr_text: str) -> str:
    """The runtime's last word, without the place in its source, or else the error's own."""
    lines = [
        re.sub(r"^\[\w+\.\w+:\d+\] ", "", line)
        for line in stderr_text.splitlines()
        if re.match(r"\[\w+\.\w+:\d+\]", line)
    ]
    return lines[-1] if lines else str(reason).strip()
