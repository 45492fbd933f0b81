"""What takes part in a benchmark: described by text and numbers alone, so that a process of its own can load it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from shvit_mobile.errors import InvalidConfig

if TYPE_CHECKING:
    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.drift_row import DriftRow
    from shvit_mobile.contracts.manifest import Target

Engine = Literal["executorch", "onnxruntime", "coreml", "openvino", "mnn", "litert", "torch", "torch-compile"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
ENGINE_BY_TARGET: dict[Target, Engine] = {"executorch": "executorch", "onnx": "onnxruntime", "coreml": "coreml"}


@dataclass(frozen=True)
class BenchmarkSubject:
    """One contestant.

    Attributes:
        name: for people; different from all others'.
        engine: what runs it.
        precision: as an artifact's, or "fp32" or "int8" of something that is none.
        source: the file; for "torch" engines a checkpoint, or "timm:" and the name of a model.
        shape: of the input, the batch first.
        dtype: of the input: "float32", "uint8" for pictures, or "int8" where a quantizer made the input so.
        input_name: of the input, where the engine asks for it by name.
        macs: multiply-adds of one image; None where they are not known.
        sha256: of the artifact; None where it is none of ours.
        drift: what the artifact's manifest says of it.
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
    """An artifact as a contestant.

    Raises:
        InvalidConfig: it is made for another batch.
    """
    manifest = artifact.manifest
    made_for, *rest = manifest.input.shape
    if batch != made_for and made_for:
        raise InvalidConfig(
            f"{artifact.path.name} takes a batch of {made_for}, not {batch}.",
            why="Its batch was fixed when it was exported.",
            hint="Only ONNX artifacts exported without --static-batch take any batch; else use --batch 1.",
        )
    return BenchmarkSubject(
        name=artifact.path.name,
        engine=ENGINE_BY_TARGET[manifest.target],
        precision=manifest.precision,
        source=str(artifact.path),
        shape=(batch, *rest),
        dtype=manifest.input.dtype,
        input_name=manifest.input.name,
        macs=count_variant_macs(manifest.model.variant, manifest.model.classes, manifest.preprocessing.size),
        sha256=manifest.artifact.sha256,
        drift=manifest.drift,
    )


@cache
def count_variant_macs(variant: str, classes: int, size: tuple[int, int]) -> int | None:
    """The multiply-adds of a variant for one image; None for a model that is none."""
    from shvit_mobile.families.shvit import VARIANTS, create_shvit

    if variant not in VARIANTS:
        return None

    from shvit_mobile.bench.macs import count_macs

    return count_macs(create_shvit(variant, classes=classes), (1, 3, *size))


def measure_file_size(source: str) -> int | None:
    """Bytes of a file or folder; None where there is none."""
    from shvit_mobile.contracts.fingerprints import compute_size_bytes

    path = Path(source)
    return compute_size_bytes(path) if path.exists() else None
