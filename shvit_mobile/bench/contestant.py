"""Describes the contestants of a benchmark by text and numbers, so that a worker process can load them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, get_args

from shvit_mobile.contracts.manifest import Task
from shvit_mobile.errors import InvalidValue
from shvit_mobile.runtimes import check_runnable

if TYPE_CHECKING:
    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.drift_row import DriftRow
    from shvit_mobile.contracts.manifest import QualifiedTarget

Engine = Literal["executorch", "onnxruntime", "coreml", "coreai", "openvino", "mnn", "litert", "torch", "torch-compile"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
_ENGINE_BY_TARGET: dict[QualifiedTarget, Engine] = {
    "executorch": "executorch",
    "executorch-coreml": "coreml",
    "onnx": "onnxruntime",
    "coreml": "coreml",
    "coreai": "coreai",
    "litert": "litert",
}


@dataclass(frozen=True)
class BenchmarkSubject:
    """One contestant.

    Attributes:
        name: A unique name.
        engine: The engine that runs it.
        precision: The precision as in the manifest, "int8" for an artifact with some layers in float too.
        source: The file; for "torch" engines a checkpoint, or "timm:" and the name of a model.
        shape: The shape of the input, with the batch first.
        dtype: The dtype of the input: "float32", "uint8" for images, or "int8" for a quantized input.
        input_name: The name of the input, for engines that need it.
        macs: Multiply-adds per image; None if they are unknown.
        sha256: The SHA-256 of the artifact; None if shvit-mobile did not export it.
        drift: The drift in the artifact's manifest.
    """

    name: str
    engine: Engine
    precision: str
    source: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    input_name: str = "images"
    macs: int | None = None
    sha256: str | None = None
    drift: DriftRow | None = None


def create_subject(artifact: Artifact, batch: int = 1) -> BenchmarkSubject:
    """Return an artifact as a contestant.

    Raises:
        InvalidValue: If it takes another batch.
        NotSupported: If nothing on this machine runs it.
    """
    check_runnable(artifact)
    manifest = artifact.manifest
    fixed_batch, *rest = manifest.input.shape
    if batch != fixed_batch and fixed_batch:
        raise InvalidValue(
            f"{artifact.path.name} takes a batch of {fixed_batch}, not {batch}.",
            why="The export fixed its batch. Only ONNX artifacts with a dynamic batch take any batch.",
            hint=f"Set `batch={fixed_batch}`.",
            parameter="batch",
        )
    return BenchmarkSubject(
        name=artifact.path.name,
        engine=_ENGINE_BY_TARGET[manifest.qualified_target],
        precision=manifest.precision,
        source=str(artifact.path),
        shape=(batch, *rest),
        dtype=manifest.input.dtype,
        input_name=manifest.input.name,
        macs=_count_variant_macs(
            manifest.model.variant, manifest.model.classes, manifest.preprocessing.size, manifest.task
        ),
        sha256=manifest.artifact.sha256,
        drift=manifest.drift,
    )


@cache
def _count_variant_macs(variant: str, classes: int, size: tuple[int, int], task: Task) -> int | None:
    """Return the multiply-adds of a variant for one image; None for models that cannot be built by name."""
    from shvit_mobile.bench.macs import count_macs
    from shvit_mobile.families.untrained import create_untrained

    model = create_untrained(variant, classes, task)
    try:
        return None if model is None else count_macs(model, (1, 3, *size))
    except (RuntimeError, NotImplementedError):  # an operator that the meta device does not have
        return None
