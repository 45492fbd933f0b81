"""Export every model of a list to every target in every precision, run the artifacts, and record what came of it.

    python tools/compatibility_table.py                                      # all exports
    python tools/compatibility_table.py --stock                              # stock exports of the same networks
    python tools/compatibility_table.py --latency                            # times both, on a quiet machine
    python tools/compatibility_table.py --models repvit_m0_9 --targets onnx --precisions fp32
    python tools/compatibility_page.py > docs/compatibility.md

LiteRT is among the targets where `shvit-mobile doctor --install litert` has been run.

Weights are random (`random_networks.py`). Each model has a process of its own, with a time limit for each export; where
one ends it or takes too long, another goes on with the rest. The results of a model are in `--out`/MODEL.json; what is
there for the same commit is not done again. `--latency` times the artifacts
that are there beside stock exports of the same network, in turns on one thread.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import safetensors.torch
import torch
import typer
from numpy.typing import NDArray
from random_networks import create_random_network
from torch import Tensor, nn

from shvit_mobile.bench.contestant import create_subject
from shvit_mobile.bench.host import describe_host
from shvit_mobile.bench.interleave import run_interleaved
from shvit_mobile.bench.statistics import compute_speed_ratio, summarize_latency
from shvit_mobile.bench.stock import export_litert, export_onnx_fp32, export_xnnpack, quantize_onnx
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.device_report import BenchmarkSettings
from shvit_mobile.contracts.manifest import ALL_TARGETS, Target
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision, Recipe
from shvit_mobile.demo import CALIBRATION_IMAGES, TEST_IMAGES
from shvit_mobile.deploy.fold import normalize_pixels, to_deploy_form
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.environments import ENVIRONMENTS
from shvit_mobile.errors import ShvitError, get_first_line
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.families.timm_family import TIMM_PREFIX, import_timm, reparameterize
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import ImageSet, open_images
from shvit_mobile.images.ramp import draw_ramp
from shvit_mobile.metrics import compute_agreement, sqnr
from shvit_mobile.pipeline.goldens import load_default_golden_images, preprocess_golden_images
from shvit_mobile.pipeline.lower import lower, plan_artifact_path
from shvit_mobile.quantize.calibrate import calibrate_recipe
from shvit_mobile.quiet import silence_libraries
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.capabilities import NEAREST_PRECISIONS
from shvit_mobile.versions import get_package_versions

MODELS = (
    *("shvit_s1", "shvit_s2", "shvit_s3", "shvit_s4"),
    *("mobilenetv2_100", "mobilenetv3_large_100", "mobilenetv4_conv_small", "mobileone_s0", "repvit_m0_9"),
    *("fastvit_t8", "fastvit_t12", "efficientformer_l1", "efficientformerv2_s0", "efficientvit_b0"),
    *("efficientvit_m0", "efficientvit_m5", "mobilevitv2_050", "mobilevitv2_100", "tiny_vit_5m_224"),
    *("edgenext_xx_small", "convnext_atto", "efficientvim_m1", "lowformer_b0"),
)
# LiteRT where its converter is installed.
TARGETS: tuple[Target, ...] = (*ALL_TARGETS, *(("litert",) if ENVIRONMENTS["litert"].is_installed else ()))
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
# What runs here at the speed of its runtime.
TIMED = ("executorch fp32", "executorch int8", "onnx fp32", "onnx int8", "litert fp32", "litert int8")
OUT = Path("build/compatibility")
# Pictures for BatchNorms and int8 ranges, and others to run the artifacts on.
CALIBRATION_COUNT, PICTURE_COUNT = 16, 8
_PACKAGES = (
    "shvit-mobile",
    "torch",
    "timm",
    "executorch",
    "torchao",
    "coremltools",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
)
# What takes seconds to import, once for all processes.
_LIBRARIES = (
    *("coremltools", "onnxruntime", "onnxscript", "executorch.exir", "torchao.quantization.pt2e"),
    *(f"shvit_mobile.targets.{target}" for target in TARGETS),
)
_SETTINGS = BenchmarkSettings(threads=1, batch=1, rounds=15, warm_up=2, iterations=10)
Document = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where the files of one model are."""

    out: Path
    model: str

    @property
    def document(self) -> Path:
        return self.out / f"{self.model}.json"

    @property
    def folder(self) -> Path:
        """The folder of its checkpoint and artifacts."""
        return self.out / self.model

    def load(self) -> Document:
        """Return what is recorded."""
        found: Document = json.loads(self.document.read_text("utf-8")) if self.document.exists() else {}
        return found

    def record(self, **fields: Any) -> None:
        """Add fields to the document; those that are mappings are joined."""
        order = MODELS.index(self.model) if self.model in MODELS else len(MODELS)
        document = {
            "model": self.model,
            "order": order,
            "pictures": PICTURE_COUNT,
            "calibration": CALIBRATION_COUNT,
            **self.load(),
        }
        for name, value in fields.items():
            document[name] = {**document.get(name, {}), **value} if isinstance(value, dict) else value
        written = self.document.with_suffix(".part")
        written.write_text(f"{json.dumps(document, indent=1)}\n", encoding="utf-8")
        written.replace(self.document)


def main(
    models: Annotated[str, typer.Option(help="The models, separated by commas.")] = ",".join(MODELS),
    targets: Annotated[str, typer.Option(help="The targets, separated by commas.")] = ",".join(TARGETS),
    precisions: Annotated[str, typer.Option(help="The precisions, separated by commas.")] = ",".join(PRECISIONS),
    out: Annotated[Path, typer.Option(help="The folder for results, checkpoints and artifacts.")] = OUT,
    keep: Annotated[bool, typer.Option(help="Keep results of other commits, too.")] = False,
    limit: Annotated[int, typer.Option(help="The longest time of one export, in seconds.")] = 900,
    stock: Annotated[
        bool, typer.Option(help="Export with stock exporters instead, to time the artifacts beside them.")
    ] = False,
    latency: Annotated[bool, typer.Option(help="Time the artifacts instead of exporting them.")] = False,
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    commit = read_commit()
    jobs = [f"{target} {precision}" for target in targets.split(",") for precision in precisions.split(",")]
    if stock:
        jobs = [job for job in jobs if job in TIMED]
    kind, measure = ("stock", export_stock) if stock else ("entries", measure_exports)
    if not latency:
        os.nice(10)
    for place in (Place(out, model) for model in models.split(",")):
        recorded = place.load()
        if latency:
            if not is_current(recorded.get("latency"), commit, keep=keep):
                result = next(run_apart(measure_latency, limit, place))
                place.record(latency={"commit": commit, "host": describe_host().model, **result})
                print(f"{place.model}, latency: {result}", flush=True)
            continue
        before = recorded.get(kind, {})
        missing = [job for job in jobs if not is_current(before.get(job), commit, keep=keep)]
        while missing:  # a process that ends or takes too long is followed by one for the rest
            for job, result in zip(tuple(missing), run_apart(measure, limit, place, missing), strict=False):
                missing.remove(job)
                place.record(**{kind: {job: {"commit": commit, **result}}}, versions=get_package_versions(*_PACKAGES))
                print(f"{place.model}, {job}: {result}", flush=True)


def is_current(result: Document | None, commit: str, *, keep: bool) -> bool:
    """Return whether there is a result of this commit, or with `keep` of any."""
    return result is not None and (keep or result["commit"] == commit)


def read_commit() -> str:
    """Return the commit of the code, with a mark if files have changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=9", "--exclude=*"]
    return subprocess.run(
        command, cwd=Path(__file__).parent, check=True, capture_output=True, encoding="utf-8"
    ).stdout.strip()


def run_apart(function: Callable[..., Iterator[Document]], limit: float, *arguments: Any) -> Iterator[Document]:
    """Yield what a function yields in a process of its own; at the end the reason why there is no more, as "reason".

    Args:
        function: The function.
        limit: The longest time between two results, in seconds.
        arguments: Its arguments.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", *_LIBRARIES])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_results, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        while receiver.poll(limit):
            yield receiver.recv()
        yield {"reason": f"It took more than {limit:g} s."}
    except EOFError:
        process.join()
        yield {"reason": f"The process ended with status {process.exitcode}."}
    finally:
        process.kill()
        process.join()


def _send_results(sender: Any, function: Callable[..., Iterator[Document]], arguments: Sequence[Any]) -> None:
    for result in function(*arguments):
        sender.send(result)


def format_reason(reason: Exception) -> str:
    """Return the first line of an error, without the paths of this machine."""
    kind = "" if isinstance(reason, ShvitError) else f"{type(reason).__name__}: "
    return f"{kind}{get_first_line(reason)}".replace(f"{Path.cwd()}/", "")


def catch_reason(function: Callable[..., Document], *arguments: Any) -> Document:
    """Return what a function returns, or the reason why it does not."""
    try:
        return function(*arguments)
    except Exception as reason:
        return {"reason": format_reason(reason)}


def measure_exports(place: Place, jobs: Sequence[str]) -> Iterator[Document]:
    """Export a model, run each artifact on pictures, and yield what the table says of it."""
    exporter = _Exporter(place)
    for job in jobs:
        target, precision = job.split()
        yield catch_reason(exporter.measure, target, precision)


@dataclass(frozen=True)
class _Exporter:
    """The exports of a model, which take its deploy form and its recipes from one another."""

    place: Place

    @cached_property
    def trained(self) -> TrainedModel:
        return load_model(self.place)

    @cached_property
    def deployed(self) -> tuple[DeployForm, float]:
        """The deploy form, and the seconds of processor time that it took."""
        begin = time.process_time()
        deployed = to_deploy_form(self.trained)
        return deployed, time.process_time() - begin

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        images = open_images(TEST_IMAGES).sample(PICTURE_COUNT, 0)
        return load_pixels(self.trained.preprocessing, images)

    @cached_property
    def reference(self) -> NDArray[np.float64]:
        """The checkpoint's logits in float64, of one picture at a time."""
        model = deepcopy(self.trained.model).double()
        images = torch.from_numpy(self.pixels).permute(0, 3, 1, 2).double()
        with torch.inference_mode():
            logits = [model(normalize_pixels(image[None], self.trained.preprocessing)) for image in images]
        return torch.cat(logits).numpy()

    @cached_property
    def int8_recipe(self) -> Recipe:
        return calibrate_recipe(self.deployed[0], load_images(CALIBRATION_COUNT), count=CALIBRATION_COUNT)[0]

    def measure(self, target: Target, precision: Precision) -> Document:
        if precision in NEAREST_PRECISIONS[target]:
            nearest, why = NEAREST_PRECISIONS[target][precision]
            return {"reason": f"{target} has no {precision}: {why}. The nearest is {nearest}."}
        deployed, seconds = self.deployed
        recipe = self.int8_recipe if precision == "int8" else calibrate_recipe(deployed, precision=precision)[0]
        begin = time.process_time()
        # The table shows how far int8 is: ranges of random weights need not fit the goldens.
        artifact = lower(deployed, recipe, target, self.place.folder, overwrite=True, has_gate=True)
        seconds += time.process_time() - begin
        runner = open_runner(artifact)
        logits = np.concatenate([runner.run(image[None]) for image in self.pixels])
        manifest = artifact.manifest
        result = {
            "sqnr_db": round(sqnr(self.reference, logits), 2),
            "agreement": compute_agreement(self.reference, logits),
            "processor_seconds": round(seconds, 1),
            "bytes": manifest.artifact.bytes,
            "quantized_layers": manifest.inventory.quantized_layers,
        }
        if manifest.delegation:
            result |= {"delegates": manifest.delegation.delegates, "left": manifest.delegation.left_operators}
        return result


def find_checkpoint(place: Place) -> Path:
    """Return the checkpoint of a model, which is created if it is not there."""
    path = place.folder / f"{place.model}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        preprocessing = Preprocessing(size=tuple(import_timm("").get_pretrained_cfg(place.model).input_size[1:]))
        # Statistics that do not fit the pictures of goldens would let their values explode.
        goldens = preprocess_golden_images(load_default_golden_images(), preprocessing)
        pixels = [draw_ramp(preprocessing.size), goldens, load_pixels(preprocessing, load_images(CALIBRATION_COUNT))]
        images = torch.from_numpy(preprocessing.normalize(np.concatenate(pixels)))
        state = create_random_network(place.model, images).state_dict()
        state = {key: value.contiguous().clone() for key, value in state.items()}
        safetensors.torch.save_file(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    return path


def load_model(place: Place) -> TrainedModel:
    return load_checkpoint(find_checkpoint(place), variant=f"{TIMM_PREFIX}{place.model}")


def load_images(count: int) -> ImageSet:
    return open_images(CALIBRATION_IMAGES).sample(count, 0)


def load_pixels(preprocessing: Preprocessing, images: ImageSet) -> NDArray[np.uint8]:
    return np.concatenate([batch.pixels for batch in iterate_batches(images, preprocessing)])


def export_stock(place: Place, jobs: Sequence[str]) -> Iterator[Document]:
    """Export a network whose branches are merged with the exporters and quantizers of runtimes; yield the paths."""
    trained = load_model(place)
    module = reparameterize(trained.model).eval()
    pixels = load_pixels(trained.preprocessing, load_images(CALIBRATION_COUNT))
    images = [torch.from_numpy(image[None]) for image in trained.preprocessing.normalize(pixels)]
    folder = place.folder / "stock"
    folder.mkdir(exist_ok=True)
    for job in jobs:
        yield catch_reason(_export_stock, module, images, folder, *job.split())


def _export_stock(
    module: nn.Module, images: Sequence[Tensor], folder: Path, target: Target, precision: Precision
) -> Document:
    if target == "executorch":
        path = export_xnnpack(module, images, folder / f"stock-{precision}.pte", precision)
    elif target == "litert":
        fp32, int8 = export_litert(module, images, tuple(images[0].shape), folder)
        path = int8 if precision == "int8" else fp32
    else:
        path = export_onnx_fp32(module, tuple(images[0].shape), folder)
        if precision == "int8":
            path = quantize_onnx(path, images, folder)
    return {"path": str(path), "bytes": path.stat().st_size}


def measure_latency(place: Place) -> Iterator[Document]:
    """Yield one result: that of `_measure_latency`, or the reason why there is none."""
    yield catch_reason(_measure_latency, place)


def _measure_latency(place: Place) -> Document:
    """Time the artifacts of ExecuTorch and ONNX Runtime beside stock exports of the same network.

    Returns:
        By target and precision the milliseconds of the artifact and of the stock export, and how many times as fast the
        artifact is; only the first if there is no stock export, or the runtime rejects it.
    """
    trained = load_model(place)
    subjects = {job: create_subject(artifact) for job, artifact in find_artifacts(trained, place.folder).items()}
    stock = {job: one for job, one in place.load().get("stock", {}).items() if job in subjects and "path" in one}
    peers = {job: replace(subjects[job], name=f"stock {job}", source=one["path"]) for job, one in stock.items()}
    found = run_interleaved(
        [*subjects.values(), *peers.values()], _SETTINGS, optional=frozenset(peer.name for peer in peers.values())
    )
    runs = {run.subject.name: run for run in found.runs}
    absent = {peer.name: why for peer, why in found.skipped}
    result: Document = {}
    for job, subject in subjects.items():
        ours, peer = runs[subject.name], f"stock {job}"
        result[job] = {"ms": summarize_latency(ours.samples).p50}
        if peer in runs:
            ratio = compute_speed_ratio(runs[peer].round_medians, ours.round_medians)
            result[job] |= {"stock_ms": summarize_latency(runs[peer].samples).p50, "ratio": ratio.model_dump()}
        elif peer in absent:
            result[job]["stock_reason"] = absent[peer]
    return result


def find_artifacts(trained: TrainedModel, folder: Path) -> dict[str, Artifact]:
    """Return the artifacts that run here at the speed of their runtime, by target and precision."""
    paths = {job: plan_artifact_path(trained, job.split()[1], job.split()[0], folder) for job in TIMED}
    return {job: Artifact.open(path) for job, path in paths.items() if path.exists()}


if __name__ == "__main__":
    with silence_libraries():
        typer.run(main)
