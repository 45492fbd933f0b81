"""Run artifacts on this machine; `open_runner` chooses the runtime."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.runtimes.runner import Runner

# Modules and classes as text, so that running an ONNX file imports neither coremltools nor ExecuTorch.
_RUNNERS = {
    "coreai": ("shvit_mobile.runtimes.coreai", "CoreAIRunner"),
    "coreml": ("shvit_mobile.runtimes.coreml", "CoreMLRunner"),
    "executorch-coreml": ("shvit_mobile.runtimes.coreml", "CoreMLRunner"),
    "executorch": ("shvit_mobile.runtimes.executorch", "ExecuTorchRunner"),
    "onnx": ("shvit_mobile.runtimes.onnxruntime", "ONNXRuntimeRunner"),
    "litert": ("shvit_mobile.runtimes.litert", "LiteRTRunner"),
}


def open_runner(artifact: Artifact) -> Runner:
    """Load an artifact into its runtime.

    Raises:
        BadArtifact: If the runtime rejects the artifact.
        ToolMissing: If the runtime is not installed.
    """
    module, name = _RUNNERS[artifact.manifest.qualified_target]
    runner: Runner = getattr(import_module(module), name)(artifact)
    return runner
