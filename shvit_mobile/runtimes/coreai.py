"""Run Core AI packages with Apple's own runtime on this machine's CPU, in a process of its own."""

import weakref
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.runtimes.runner import build_mismatch_error, check_size, prepare_input
from shvit_mobile.targets.coreai.process import CoreAIProcess


class CoreAIRunner:
    """A loaded Core AI package; a `Runner` whose execution is "native".

    On Linux, and before macOS 27, it is the runtime that Apple's package contains; from macOS 27 on, the system's.
    """

    execution: Execution = "native"
    engine: str

    def __init__(self, artifact: Artifact) -> None:
        """Load the package in a process of its own, which ends with this object.

        Raises:
            BadArtifact: If it is damaged, or its input or output differs from the manifest.
            ToolMissing: If coreai-core is not installed.
        """
        self._artifact = artifact
        self._process = CoreAIProcess(artifact.path, "run")
        weakref.finalize(self, self._process.close)
        self.engine = f"Core AI {version('coreai-core')} (CPU)"
        self._check_signature()

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the logits of images, one at a time; see `Runner.run`."""
        manifest = self._artifact.manifest
        check_size(self._artifact, pixels)
        logits = np.empty((len(pixels), manifest.model.classes), np.float32)
        for index in range(len(pixels)):
            values = prepare_input(manifest, pixels[index : index + 1])
            logits[index] = np.frombuffer(self._process.run(values.tobytes()), np.float32)
        return logits

    def _check_signature(self) -> None:
        """Raise `BadArtifact` unless the program's input and output are those of the manifest."""
        manifest, facts = self._artifact.manifest, self._process.facts
        inputs = [[manifest.input.name, manifest.input.dtype, list(manifest.input.shape)]]
        outputs = [[manifest.output.logits, "float32", [1, manifest.model.classes]]]
        if (facts["inputs"], facts["outputs"]) != (inputs, outputs):
            raise build_mismatch_error(
                f"{self._artifact.path} takes {facts['inputs']} and gives {facts['outputs']}, its manifest says "
                f"{inputs} and {outputs}."
            )
