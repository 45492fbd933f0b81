"""Run LiteRT artifacts with ai-edge-litert on the CPU."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.errors import BadArtifact, get_first_line
from shvit_mobile.quiet import build_missing_error, capture_native_stderr
from shvit_mobile.runtimes.runner import (
    allocate_outputs,
    build_mismatch_error,
    check_outputs,
    check_size,
    prepare_input,
    select_logits,
)
from shvit_mobile.targets.litert.flatbuffer import read_model

try:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
except ImportError as reason:
    raise build_missing_error("ai_edge_litert", "It runs LiteRT artifacts.", reason) from reason

ENGINE = f"LiteRT {version('ai-edge-litert')} (CPU)"


class LiteRTRunner:
    """A loaded LiteRT artifact; a `Runner` whose execution is "native": apps use the same runtime."""

    execution: Execution = "native"
    engine = ENGINE

    def __init__(self, artifact: Artifact) -> None:
        """Load the file.

        Raises:
            BadArtifact: If it is damaged, or its inputs or outputs differ from the manifest.
        """
        self._artifact = artifact
        self._interpreter = open_interpreter(artifact.path)
        self._input = self._find_tensor(artifact.manifest.input.name, self._interpreter.get_input_details())
        details = self._interpreter.get_output_details()
        self._outputs = [self._find_tensor(name, details) for name in artifact.manifest.output.names]

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the logits of images; see `Runner.run`."""
        return select_logits(self._artifact, self.run_outputs(pixels))

    def run_outputs(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Compute the outputs of images, one image after the other."""
        manifest = self._artifact.manifest
        check_size(self._artifact, pixels)
        outputs = allocate_outputs(manifest, len(pixels))
        for index, image in enumerate(pixels):
            run_interpreter(self._interpreter, self._input, prepare_input(manifest, image[None]), self._artifact.path)
            computed = dict(zip(outputs, map(self._interpreter.get_tensor, self._outputs), strict=True))
            for name, values in computed.items():
                if values.dtype != np.float32:
                    raise build_mismatch_error(f"{self._artifact.path} gives {name} as {values.dtype}, not float32.")
            check_outputs(self._artifact, computed, 1)
            for name, values in computed.items():
                outputs[name][index] = values[0]
        return outputs

    def _find_tensor(self, name: str, details: list[dict[str, Any]]) -> int:
        names = [detail["name"] for detail in details]
        if name not in names:
            raise build_mismatch_error(f"{self._artifact.path} has {', '.join(names)}, no '{name}'.")
        return int(details[names.index(name)]["index"])


def open_interpreter(path: Path, *, keeps_values: bool = False, threads: int | None = None) -> Any:
    """Check a file and load it, for one image.

    Args:
        path: The file.
        keeps_values: Whether all values inside can be read after a run; no delegate then computes several operators at
            once (default: no).
        threads: The number of threads (default: the interpreter's own).

    Raises:
        BadArtifact: If it is damaged, or the interpreter cannot load it.
    """
    read_model(path)  # the interpreter trusts what it reads
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if keeps_values else OpResolverType.AUTO
    try:
        with capture_native_stderr():  # it notes that it has a delegate
            interpreter = Interpreter(
                str(path),
                num_threads=threads,
                experimental_op_resolver_type=resolver,
                experimental_preserve_all_tensors=keeps_values,
            )
            interpreter.allocate_tensors()
    except Exception as reason:  # its errors have no common base
        raise BadArtifact(
            f"LiteRT cannot load {path}: {get_first_line(reason)}",
            why="It may be damaged, or made for a newer LiteRT.",
            hint="Export it again.",
        ) from reason
    return interpreter


def run_interpreter(interpreter: Any, tensor: int, values: NDArray[np.float32], path: Path) -> None:
    """Run an interpreter on the values of its input.

    Raises:
        BadArtifact: If it fails, or its input has another shape.
    """
    try:
        interpreter.set_tensor(tensor, values)
        interpreter.invoke()
    except Exception as reason:
        raise BadArtifact(f"LiteRT cannot run {path}: {get_first_line(reason)}") from reason
