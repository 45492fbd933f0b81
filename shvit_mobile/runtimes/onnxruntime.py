"""Runs ONNX artifacts with ONNX Runtime on the CPU."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.errors import BadArtifact, ToolMissing
from shvit_mobile.runtimes.runner import check_size, prepare_input

try:
    import onnxruntime
except ImportError:
    raise ToolMissing(
        "onnxruntime is not installed.", why="It runs ONNX artifacts.", hint="pip install 'onnxruntime>=1.23,<2'"
    ) from None

CPU_FLAGS = Path("/proc/cpuinfo")
LOG_LEVEL_FATAL = 4  # of ONNX Runtime's levels: what goes wrong is raised as well, and told once is enough


class ONNXRuntimeRunner:
    """A loaded ONNX artifact; a `Runner`.

    Attributes:
        how: "native", always: ONNX Runtime is what apps run the file with.
        engine: ONNX Runtime and its version.
    """

    execution: Execution = "native"
    engine: str

    def __init__(self, artifact: Artifact) -> None:
        """Loads the file.

        Raises:
            BadArtifact: it is damaged, or has other inputs or outputs than its manifest says.
        """
        self.engine = f"ONNX Runtime {onnxruntime.__version__} (CPU)"
        self._artifact = artifact
        self._session = open_session(artifact.path)
        self._check_names()

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The logits of some images, all at once where the artifact takes any number, else one by one.

        Args:
            pixels: as `Preprocessing.pixels` gives them: uint8, shape (images, height, width, 3).

        Returns:
            float32, shape (images, classes).

        Raises:
            ShapeMismatch: the images are not of the size the artifact takes.
            BadArtifact: the model fails, or its logits are not one a class.
        """
        manifest = self._artifact.manifest
        check_size(self._artifact, pixels)
        logits = np.empty((len(pixels), manifest.model.classes), np.float32)
        step = manifest.input.shape[0] or max(len(pixels), 1)
        for start in range(0, len(pixels), step):
            logits[start : start + step] = self._compute_logits(pixels[start : start + step])
        return logits

    def _compute_logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        manifest = self._artifact.manifest
        try:
            outputs = self._session.run(
                [manifest.output.logits], {manifest.input.name: prepare_input(manifest, pixels)}
            )
        except Exception as reason:  # ONNX Runtime's errors have no base of their own
            raise BadArtifact(f"ONNX Runtime cannot run {self._artifact.path}: {get_first_line(reason)}") from reason
        logits = np.asarray(outputs[0], np.float32)
        if logits.shape != (len(pixels), manifest.model.classes):
            raise BadArtifact(
                f"{self._artifact.path} gives logits of shape {logits.shape} for {len(pixels)} images "
                f"and {manifest.model.classes} classes.",
                why="Its manifest is of another artifact.",
                hint="Export it again.",
            )
        return logits

    def _check_names(self) -> None:
        manifest = self._artifact.manifest
        for name, there in (
            (manifest.input.name, [given.name for given in self._session.get_inputs()]),
            (manifest.output.logits, [given.name for given in self._session.get_outputs()]),
        ):
            if name not in there:
                raise BadArtifact(
                    f"{self._artifact.path} has {', '.join(there)}, no '{name}'.",
                    why="Its manifest is of another artifact.",
                    hint="Export it again.",
                )


def make_session_options() -> onnxruntime.SessionOptions:
    """Options by which a session says nothing and does not let int8 products saturate."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_LEVEL_FATAL
    if may_saturate_int8():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def open_session(path: Path, options: onnxruntime.SessionOptions | None = None) -> onnxruntime.InferenceSession:
    """A session on the CPU, with `make_session_options` unless told others.

    Raises:
        BadArtifact: ONNX Runtime cannot load the file.
    """
    try:
        return onnxruntime.InferenceSession(path, options or make_session_options(), providers=["CPUExecutionProvider"])
    except Exception as reason:  # ONNX Runtime's errors have no base of their own
        raise BadArtifact(
            f"ONNX Runtime cannot load {path}: {get_first_line(reason)}",
            why="It may be damaged, or made for a newer ONNX Runtime.",
            hint="Export it again.",
        ) from reason


def may_saturate_int8() -> bool:
    """Whether this CPU may saturate sums of int8 products, which no phone does: an x86 that does not say it has VNNI.

    ONNX Runtime then has a way around it, which costs two thirds of the speed where it is not needed.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return "vnni" not in CPU_FLAGS.read_text()
    except OSError:  # only Linux tells
        return True


def get_first_line(reason: Exception) -> str:
    return str(reason).strip().splitlines()[0] if str(reason).strip() else type(reason).__name__
