"""Run Core AI packages with Apple's own runtime on this machine's CPU, in a process of its own."""

import weakref
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.runtimes.runner import (
    allocate_outputs,
    build_mismatch_error,
    check_size,
    prepare_input,
    select_logits,
    split_outputs,
)
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
        """Compute the logits of images; see `Runner.run`."""
        return select_logits(self._artifact, self.run_outputs(pixels))

    def run_outputs(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Compute the outputs of images, one image at a time."""
        manifest = self._artifact.manifest
        check_size(self._artifact, pixels)
        outputs = allocate_outputs(manifest, len(pixels))
        for index in range(len(pixels)):
            values = prepare_input(manifest, pixels[index : index + 1])
            computed = split_outputs(manifest, self._process.run(values.tobytes()))
            for whole, part in zip(outputs.values(), computed, strict=True):
                whole[index] = part
        return outputs

    def _check_signature(self) -> None:
        """Raise `BadArtifact` unless the program's input and output are those of the manifest."""
        manifest, facts = self._artifact.manifest, self._process.facts
        inputs = [[manifest.input.name, manifest.input.dtype, list(manifest.input.shape)]]
        outputs = [[name, "float32", [1, *shape]] for name, shape in manifest.output_shapes.items()]
        if (facts["inputs"], facts["outputs"]) != (inputs, outputs):
            raise build_mismatch_error(
                f"{self._artifact.path} takes {facts['inputs']} and gives {facts['outputs']}, its manifest says "
                f"{inputs} and {outputs}."
            )
