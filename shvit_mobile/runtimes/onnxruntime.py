"""Run ONNX artifacts with ONNX Runtime on the CPU."""

import platform
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.errors import BadArtifact, get_first_line
from shvit_mobile.quiet import build_missing_error
from shvit_mobile.runtimes.runner import (
    allocate_outputs,
    build_mismatch_error,
    check_outputs,
    check_size,
    prepare_input,
    select_logits,
)

try:
    import onnxruntime
except ImportError as reason:
    raise build_missing_error("onnxruntime", "It runs ONNX artifacts.", reason) from reason

ENGINE = f"ONNX Runtime {onnxruntime.__version__} (CPU)"
CPU_FLAGS = Path("/proc/cpuinfo")
onnxruntime.disable_telemetry_events()  # its Windows builds send some by default
LOG_LEVEL_FATAL = 4  # errors are also raised, so the log would repeat them


class ONNXRuntimeRunner:
    """A loaded ONNX artifact; a `Runner` whose execution is "native": apps use the same runtime."""

    execution: Execution = "native"
    engine = ENGINE

    def __init__(self, artifact: Artifact) -> None:
        """Load the file.

        Raises:
            BadArtifact: If it is damaged, or its inputs or outputs differ from the manifest.
        """
        self._artifact = artifact
        self._session = open_session(artifact.path)
        self._check_names()

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the logits of images; see `Runner.run`."""
        return select_logits(self._artifact, self.run_outputs(pixels))

    def run_outputs(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Compute the outputs of images in one batch, or in batches of the artifact's size."""
        manifest = self._artifact.manifest
        check_size(self._artifact, pixels)
        outputs = allocate_outputs(manifest, len(pixels))
        step = manifest.input.shape[0] or max(len(pixels), 1)
        for start in range(0, len(pixels), step):
            part = self._compute_outputs(pixels[start : start + step])
            for whole, values in zip(outputs.values(), part, strict=True):
                whole[start : start + step] = values
        return outputs

    def _compute_outputs(self, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        manifest, path = self._artifact.manifest, self._artifact.path
        inputs = {manifest.input.name: prepare_input(manifest, pixels)}
        try:
            computed = self._session.run(list(manifest.output.names), inputs)
        except Exception as reason:  # ONNX Runtime's errors have no common base
            raise BadArtifact(f"ONNX Runtime cannot run {path}: {get_first_line(reason)}") from reason
        outputs = [np.asarray(values, np.float32) for values in computed]
        check_outputs(self._artifact, dict(zip(manifest.output.names, outputs, strict=True)), len(pixels))
        return outputs

    def _check_names(self) -> None:
        manifest = self._artifact.manifest
        for expected, values in (
            ((manifest.input.name,), self._session.get_inputs()),
            (manifest.output.names, self._session.get_outputs()),
        ):
            names = [value.name for value in values]
            if missing := next((name for name in expected if name not in names), None):
                raise build_mismatch_error(f"{self._artifact.path} has {', '.join(names)}, no '{missing}'.")


def make_session_options() -> onnxruntime.SessionOptions:
    """Return options for a session that logs nothing, does not saturate int8 products, and waits without computing."""
    options = onnxruntime.SessionOptions()
    # Idle threads would keep their processors busy between operators and while images are prepared.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = LOG_LEVEL_FATAL
    if may_saturate_int8():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def open_session(
    model: Path | bytes, options: onnxruntime.SessionOptions | None = None, *, path: Path | None = None
) -> onnxruntime.InferenceSession:
    """Open a session on the CPU.

    Args:
        model: The file, or its bytes.
        options: Options of the session (default: `make_session_options()`).
        path: The file that errors name where `model` is bytes.

    Raises:
        BadArtifact: If ONNX Runtime cannot load the model.
    """
    try:
        return onnxruntime.InferenceSession(
            model, options or make_session_options(), providers=["CPUExecutionProvider"]
        )
    except Exception as reason:  # ONNX Runtime's errors have no common base
        name = model if isinstance(model, Path) else path
        raise BadArtifact(
            f"ONNX Runtime cannot load {name}: {get_first_line(reason)}",
            why="It may be damaged, or made for a newer ONNX Runtime.",
            hint="Export it again.",
        ) from reason


def may_saturate_int8() -> bool:
    """Return whether sums of int8 products may saturate on this CPU, which no phone does: an x86 without VNNI.

    ONNX Runtime then needs a slower mode, at a third of the speed.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return "vnni" not in CPU_FLAGS.read_text(encoding="utf-8")
    except OSError:  # only Linux has the file
        return True
