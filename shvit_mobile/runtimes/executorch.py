"""Run ExecuTorch artifacts with ExecuTorch's own runtime on this machine's CPU."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.contracts.manifest import DEFAULT_METHOD, Manifest
from shvit_mobile.errors import BadArtifact
from shvit_mobile.quiet import capture_native_stderr, import_library
from shvit_mobile.runtimes.runner import (
    allocate_outputs,
    build_mismatch_error,
    check_size,
    prepare_input,
    select_logits,
)
from shvit_mobile.targets.pte import read_program_bytes

_FLOAT32_CODE = 6  # float32 in ExecuTorch's enumeration of dtypes
_LOG_PREFIX = re.compile(r"\[\w+\.\w+:\d+\] ?")  # "[program.cpp:1] "


class ExecuTorchRunner:
    """A loaded ExecuTorch artifact; a `Runner` whose execution is "native": apps use the same runtime.

    Images of another size that the manifest lists run in the method of that size, which is loaded the first time.
    """

    execution: Execution = "native"
    engine: str

    def __init__(self, artifact: Artifact) -> None:
        """Load the program and its weights.

        Changed weights in an intact structure still load; only the SHA-256 in the manifest detects them, which
        `Artifact.open` compares.

        Raises:
            BadArtifact: If it is damaged, or its input or output differs from the manifest.
            ToolMissing: If executorch is not installed.
        """
        self.engine = f"ExecuTorch {version('executorch')} (XNNPACK)"
        self._artifact = artifact
        # A method points into the program; its documentation does not promise to keep the program alive.
        self._program, method = load_program(artifact.path, artifact.manifest.method)
        check_contract(artifact, method.metadata)
        self._methods: dict[tuple[int, int], Any] = {artifact.manifest.preprocessing.size: method}

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the logits of images; see `Runner.run`."""
        return select_logits(self._artifact, self.run_outputs(pixels))

    def run_outputs(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Compute the outputs of images, one image at a time."""
        check_size(self._artifact, pixels)
        manifest = self._artifact.manifest.select_size((pixels.shape[1], pixels.shape[2]))
        method = self._load_method(manifest)
        outputs = allocate_outputs(manifest, len(pixels))
        for index in range(len(pixels)):
            computed = self._compute_outputs(method, prepare_input(manifest, pixels[index : index + 1]))
            for whole, values in zip(outputs.values(), computed, strict=True):
                whole[index] = values
        return outputs

    def _load_method(self, manifest: Manifest) -> Any:
        """Return the method for a manifest's size."""
        size = manifest.preprocessing.size
        if size not in self._methods:
            self._methods[size] = _load_method(self._program, self._artifact.path, manifest.method)
            check_contract(replace(self._artifact, manifest=manifest), self._methods[size].metadata)
        return self._methods[size]

    def _compute_outputs(self, method: Any, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        # ExecuTorch reads a channels-last tensor as a contiguous one and returns wrong numbers without an error.
        image = torch.from_numpy(values).contiguous()
        try:
            # Copies, because the program owns its outputs.
            return [tensor[0].numpy().copy() for tensor in method.execute([image])]
        except RuntimeError as reason:
            raise BadArtifact(f"ExecuTorch cannot run {self._artifact.path}: {reason}") from reason


def load_program(path: Path, method: str = DEFAULT_METHOD) -> tuple[Any, Any]:
    """Load a program and one of its methods.

    Raises:
        BadArtifact: If ExecuTorch cannot load them.
        ToolMissing: If executorch is not installed.
    """
    # Without the magic bytes the process aborts; with them the runtime checks all offsets and raises.
    read_program_bytes(path)
    runtime = import_library("executorch.runtime", "It runs .pte programs.").Runtime.get()
    with _report_load_errors(path):
        program = runtime.load_program(path)
    return program, _load_method(program, path, method)


def _load_method(program: Any, path: Path, method: str) -> Any:
    with _report_load_errors(path):
        return program.load_method(method)


@contextmanager
def _report_load_errors(path: Path) -> Iterator[None]:
    """Raise `BadArtifact` with the runtime's last message for an error of loading a program."""
    with capture_native_stderr() as read_stderr:
        try:
            yield
        except (RuntimeError, KeyError) as reason:
            raise BadArtifact(
                f"ExecuTorch cannot load {path}: {_extract_error_message(reason, read_stderr())}",
                why="It may be damaged, or made for a newer ExecuTorch.",
                hint="Export it again.",
            ) from reason


def check_contract(artifact: Artifact, metadata: Any) -> None:
    """Raise `BadArtifact` unless the program's input and output are those of the manifest."""
    manifest, actual = artifact.manifest, _format_signature(metadata)
    outputs = ", ".join(f"float32 {(1, *shape)}" for shape in manifest.output_shapes.values())
    expected = f"{manifest.input.dtype} {manifest.input.shape} -> {outputs}"
    if actual != expected:
        raise build_mismatch_error(f"{artifact.path} takes and gives {actual}, its manifest says {expected}.")


def _format_signature(metadata: Any) -> str:
    inputs = [_format_tensor_type(metadata.input_tensor_meta(index)) for index in range(metadata.num_inputs())]
    outputs = [_format_tensor_type(metadata.output_tensor_meta(index)) for index in range(metadata.num_outputs())]
    return f"{', '.join(inputs)} -> {', '.join(outputs)}"


def _format_tensor_type(tensor: Any) -> str:
    dtype = "float32" if tensor.dtype() == _FLOAT32_CODE else f"dtype {tensor.dtype()}"
    return f"{dtype} {tuple(tensor.sizes())}"


def _extract_error_message(reason: Exception, stderr_text: str) -> str:
    """Return the runtime's last message without its source location, or the exception's if there is none."""
    lines = [_LOG_PREFIX.sub("", line, count=1) for line in stderr_text.splitlines() if _LOG_PREFIX.match(line)]
    return lines[-1] if lines else str(reason).strip()
