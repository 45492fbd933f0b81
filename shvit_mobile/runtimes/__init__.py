"""Run artifacts on this machine; `open_runner` chooses the runtime."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from shvit_mobile.errors import NotSupported

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
        NotSupported: If the artifact is unproven, so that nothing here runs it.
        ToolMissing: If the runtime is not installed.
    """
    check_runnable(artifact)
    module, name = _RUNNERS[artifact.manifest.qualified_target]
    runner: Runner = getattr(import_module(module), name)(artifact)
    return runner


def check_runnable(artifact: Artifact) -> None:
    """Raise `NotSupported` if nothing on this machine runs an artifact."""
    if artifact.manifest.is_unproven:
        raise NotSupported(
            f"{artifact.path.name} cannot run here.",
            why=f"It is unproven: ExecuTorch's {artifact.manifest.delegate} delegate runs on phones only.",
            hint="Run it in an app on a phone, and compare its logits with those of its goldens.",
        )
