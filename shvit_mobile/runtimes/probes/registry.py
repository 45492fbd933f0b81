"""The probe and the observer for each target."""

from collections.abc import Sequence
from importlib import import_module

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.manifest import QualifiedTarget
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.wiring import Call
from shvit_mobile.errors import NotSupported
from shvit_mobile.runtimes.probes.deploy_form import DeployFormActivationObserver
from shvit_mobile.runtimes.probes.protocols import ActivationObserver, ActivationProbe

# Modules and classes as text, so that probing an ONNX file does not import the Core ML executor, nor the reverse.
_PROBE_CLASSES: dict[QualifiedTarget, tuple[str, str]] = {
    "coreml": ("shvit_mobile.runtimes.probes.coreml", "CoreMLActivationProbe"),
    "executorch-coreml": ("shvit_mobile.runtimes.probes.coreml", "CoreMLActivationProbe"),
    "onnx": ("shvit_mobile.runtimes.probes.onnx", "ONNXActivationProbe"),
    "litert": ("shvit_mobile.runtimes.probes.litert", "LiteRTActivationProbe"),
    "coreai": ("shvit_mobile.runtimes.probes.coreai", "CoreAIActivationProbe"),
}
OPAQUE_TARGETS: dict[QualifiedTarget, str] = {
    "executorch": "An XNNPACK delegate is one operator to ExecuTorch, and its Python runtime is built without ETDump, "
    "so no value between the input and the logits is visible.",
    "executorch-vulkan": "Nothing on this machine runs a Vulkan delegate.",
}


def open_activation_probe(artifact: Artifact, points: Sequence[Call]) -> ActivationProbe:
    """Open a probe for an artifact.

    Args:
        artifact: The artifact to probe.
        points: The comparison points of the deploy form that it was made from.

    Raises:
        BadArtifact: If it is damaged, or its layers are not those of the deploy form.
        NotSupported: If the values of this target's artifacts are not visible.
    """
    check_probe_support(artifact)
    module, name = _PROBE_CLASSES[artifact.manifest.qualified_target]
    probe: ActivationProbe = getattr(import_module(module), name)(artifact, points)
    return probe


def check_probe_support(artifact: Artifact) -> None:
    """Raise `NotSupported` if the values of this target's artifacts are not visible."""
    if artifact.manifest.qualified_target in OPAQUE_TARGETS:
        raise NotSupported(
            f"The layers of {artifact.path.name} cannot be compared.",
            why=OPAQUE_TARGETS[artifact.manifest.qualified_target],
            hint="Export with `target='onnx'` and its recipe as `recipe`, and compare the layers of that file.",
            parameter="target",
        )


def open_activation_observer(artifact: Artifact, deployed: DeployForm, points: Sequence[Call]) -> ActivationObserver:
    """Open an observer of what Core ML runs, or of the deploy form for artifacts that it does not run.

    Args:
        artifact: The artifact to observe.
        deployed: The deploy form that it was made from.
        points: The comparison points of that form.

    Raises:
        BadArtifact: If it is damaged, or its layers are not those of the deploy form.
    """
    if not artifact.manifest.is_coreml:
        return DeployFormActivationObserver(deployed, computes_in_fp16=artifact.manifest.precision == "fp16")
    from shvit_mobile.runtimes.probes.coreml import CoreMLActivationObserver

    return CoreMLActivationObserver(artifact, points)
