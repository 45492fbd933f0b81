"""Reads a sweep file, TOML, and lists the jobs that it stands for: every combination of its lists."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shvit_mobile.contracts.files import read_text
from shvit_mobile.contracts.fingerprints import compute_sha256
from shvit_mobile.contracts.manifest import DELEGATES, TARGET_SUFFIXES, TASKS, Delegate, Target, Task, qualify_target
from shvit_mobile.contracts.recipe import PRECISIONS, Precision
from shvit_mobile.errors import InvalidConfig, InvalidValue, parse_choice, parse_image_size
from shvit_mobile.pipeline.defaults import CALIBRATION_COUNT, DEFAULT_PRECISIONS
from shvit_mobile.targets.capabilities import NEAREST_PRECISIONS
from shvit_mobile.versions import get_package_versions

DEMO = "demo"
# What a job's bytes depend on, beside its options.
_PACKAGES = ("shvit-mobile", "torch", "executorch", "coremltools", "onnx", "onnxruntime")
_EXAMPLE = 'Try: targets = ["onnx", "executorch"]'


class SweepCheckpoint(BaseModel):
    """A checkpoint of a sweep: `{ path = "b.safetensors", model = "timm:repvit_m0_9" }`.

    Attributes:
        path: A file or folder, relative to the sweep file; an address, a hub id, or "demo" for the embedded model.
        model: As `--model`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: Annotated[str, Field(min_length=1)]
    model: str | None = None


class SweepFile(BaseModel):
    """The lists that are combined, and the options that all jobs share.

    Attributes:
        checkpoints: Paths, or `SweepCheckpoint` (default: the embedded demo model).
        sizes: As "224" or "192x160" (default: each checkpoint's own).
        tasks: "classify", "features" or "detect" (default: "classify").
        targets, delegates, precisions: As `--target`, `--delegate` and `--quantize`; a delegate is ExecuTorch's only.
        max_drops: Budgets of static int8, in points of top-1 or of a detector's average precision (default: none).
        min_agreement: The share of images, 0 to 1, on which classifiers must agree with the float model.
        min_box_agreement: The share of boxes, 0 to 1, that detectors must share with the float model.
        min_sqnr: The least SQNR of the logits, or of each map, in dB.
        calibration, validation: Paths relative to the sweep file.
        labels_csv, labels_coco: The classes, or the boxes, in the images of `validation`, likewise.
        accept_baseline: As `--accept-baseline`.
        runtime_env: The environment of workers on a Ray cluster, as Ray defines it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoints: tuple[str | SweepCheckpoint, ...] = (DEMO,)
    sizes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ("classify",)
    targets: Annotated[tuple[str, ...], Field(min_length=1)]
    delegates: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    max_drops: tuple[float, ...] = ()
    min_agreement: float | None = None
    min_box_agreement: float | None = None
    min_sqnr: float | None = None
    calibration: str | None = None
    calibration_count: int = CALIBRATION_COUNT
    validation: str | None = None
    validation_count: int | None = None
    labels_csv: str | None = None
    labels_coco: str | None = None
    accept_baseline: bool = False
    runtime_env: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class SweepJob:
    """One artifact to export. All paths are absolute.

    Attributes:
        name: A readable name, unique in its sweep, and that of its folder.
        checkpoint: The checkpoint; None for the embedded demo model.
        label: What the sweep file calls it.
    """

    name: str
    checkpoint: str | None
    label: str
    model: str | None
    size: tuple[int, int] | None
    task: Task
    target: Target
    delegate: Delegate | None
    precision: Precision
    max_drop: float | None
    min_agreement: float | None
    min_box_agreement: float | None
    min_sqnr: float | None
    calibration: str | None
    calibration_count: int
    validation: str | None
    validation_count: int | None
    labels_csv: str | None
    labels_coco: str | None
    accept_baseline: bool

    def describe(self) -> dict[str, Any]:
        """Return the fields of `SweepResult` that say which job it is of."""
        fields = ("size", "task", "target", "delegate", "precision", "max_drop")
        named = {"job": self.name, "key": self.compute_key(), "checkpoint": self.label}
        return named | {name: getattr(self, name) for name in fields}

    def compute_key(self) -> str:
        """Return the SHA-256 of all that decides the artifact; the checkpoint counts by its content.

        Images count by their folder's name only: a sweep with other images needs another folder for its results.
        """
        options = {**asdict(self), "name": None, "checkpoint": None}
        if self.checkpoint is not None:
            path = Path(self.checkpoint)
            options["checkpoint"] = compute_sha256(path) if path.exists() else self.checkpoint
        described = {"options": options, "versions": get_package_versions(*_PACKAGES)}
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class SweepPlan:
    """The jobs of a sweep, a sentence for each combination that is left out, and the environment of Ray's workers."""

    jobs: tuple[SweepJob, ...]
    skipped: tuple[str, ...]
    runtime_env: Mapping[str, Any]


def load_sweep(path: Path) -> SweepPlan:
    """Read a sweep file and list its jobs.

    Raises:
        InvalidConfig: If it cannot be read, is not TOML, or has an unknown or invalid field.
        InvalidValue, UnknownChoice: If a size, a target, a delegate or a precision is none, or nothing is left to do.
    """
    text = read_text(path, error=InvalidConfig, what="a sweep file")
    try:
        sweep = SweepFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as reason:
        raise InvalidConfig(f"{path} is not TOML: {reason}.", why="A sweep file is TOML.", hint=_EXAMPLE) from None
    except ValidationError as reason:
        first = reason.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        known = ", ".join(SweepFile.model_fields)
        raise InvalidConfig(f"{path}: {place}: {first['msg']}.", why=f"Its fields are {known}.") from None
    return plan_sweep(sweep, path.absolute().parent)


def plan_sweep(sweep: SweepFile, folder: Path) -> SweepPlan:
    """List the jobs of a sweep whose relative paths start at `folder`; for the errors see `load_sweep`."""
    jobs: dict[str, SweepJob] = {}
    skipped: dict[str, None] = {}
    for checkpoint, size, task in product(sweep.checkpoints, sweep.sizes or (None,), dict.fromkeys(sweep.tasks)):
        entry = checkpoint if isinstance(checkpoint, SweepCheckpoint) else SweepCheckpoint(path=checkpoint)
        max_drops = () if task == "features" else sweep.max_drops
        for target, delegate, precision, max_drop in _combine(sweep, max_drops, skipped):
            job = SweepJob(
                name="",
                checkpoint=None if entry.path == DEMO else _resolve(entry.path, folder),
                label=entry.path,
                model=entry.model,
                size=None if size is None else parse_image_size(size, "A size of `sizes`", 'sizes = ["192x160"]'),
                task=parse_choice(task, TASKS, "task"),
                target=target,
                delegate=delegate,
                precision=precision,
                max_drop=max_drop,
                min_agreement=sweep.min_agreement if task == "classify" else None,
                min_box_agreement=sweep.min_box_agreement if task == "detect" else None,
                min_sqnr=sweep.min_sqnr,
                calibration=_resolve(sweep.calibration, folder),
                calibration_count=sweep.calibration_count,
                validation=_resolve(sweep.validation, folder),
                validation_count=sweep.validation_count,
                labels_csv=_resolve(sweep.labels_csv, folder) if task == "classify" else None,
                labels_coco=_resolve(sweep.labels_coco, folder) if task == "detect" else None,
                accept_baseline=sweep.accept_baseline,
            )
            name = _name_job(job, jobs)
            jobs[name] = replace(job, name=name)
    if not jobs:
        raise InvalidValue("The sweep has no jobs.", why=" ".join(skipped), parameter="sweep")
    return SweepPlan(tuple(jobs.values()), tuple(skipped), sweep.runtime_env)


def _combine(
    sweep: SweepFile, max_drops: Sequence[float], skipped: dict[str, None]
) -> Iterator[tuple[Target, Delegate | None, Precision, float | None]]:
    """Yield the artifacts of a checkpoint at one size; add to `skipped` what a target lacks."""
    for name in dict.fromkeys(sweep.targets):
        target = parse_choice(name, TARGET_SUFFIXES, "target")
        for delegate in _list_delegates(sweep, target):
            qualified = qualify_target(target, delegate)
            named = sweep.precisions or (DEFAULT_PRECISIONS[qualified],)
            for precision in (parse_choice(one, PRECISIONS, "precision") for one in dict.fromkeys(named)):
                if lacking := NEAREST_PRECISIONS[qualified].get(precision):
                    skipped[f"{qualified} has no {precision}: {lacking[1]}. The nearest is {lacking[0]}."] = None
                    continue
                for max_drop in (max_drops if precision == "int8" else ()) or (None,):
                    yield target, delegate, precision, max_drop


def _list_delegates(sweep: SweepFile, target: Target) -> Sequence[Delegate | None]:
    if target != "executorch":
        return (None,)
    return [parse_choice(one, DELEGATES, "delegate") for one in dict.fromkeys(sweep.delegates)] or ("xnnpack",)


def _name_job(job: SweepJob, taken: dict[str, SweepJob]) -> str:
    """Return a name that is a file name, too."""
    stem = Path(job.label).name.partition(".")[0] or "model"
    parts = [re.sub(r"[^A-Za-z0-9_-]+", "-", stem)]
    parts += [] if job.size is None else ["x".join(map(str, job.size))]
    parts += [] if job.task == "classify" else [job.task]
    parts += [job.target, *([job.delegate] if job.delegate not in (None, "xnnpack") else []), job.precision]
    parts += [] if job.max_drop is None else [f"drop{job.max_drop:g}"]
    name = "-".join(str(part) for part in parts)
    return next(one for one in (name, *(f"{name}-{number}" for number in range(2, 10_000))) if one not in taken)


def _resolve(path: str | None, folder: Path) -> str | None:
    """Return an existing path as an absolute one; anything else, such as an address, as it is."""
    if path is None:
        return None
    local = folder / path
    return str(local) if local.exists() else path
