"""Export every model of a list to every target in every precision, run the artifacts, and record what came of it.

    python tools/compatibility_table.py                                      # all exports
    python tools/compatibility_table.py --stock                              # stock exports of the same networks
    python tools/compatibility_table.py --latency                            # times both, on a quiet machine
    python tools/compatibility_table.py --models repvit_m0_9 --targets onnx --precisions fp32
    python tools/compatibility_page.py > docs/compatibility.md

Weights are random (`random_networks.py`). Each export runs in a process of its own with a time limit. The results of a
model are in `--out`/MODEL.json; what is there for the same commit is not done again. `--latency` times the artifacts
that are there beside stock exports of the same network, in turns on one thread.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import safetensors.torch
import torch
import typer
from numpy.typing import NDArray
from random_networks import create_random_network

from shvit_mobile.bench.contestant import create_subject
from shvit_mobile.bench.host import describe_host
from shvit_mobile.bench.interleave import run_interleaved
from shvit_mobile.bench.statistics import compute_speed_ratio, summarize_latency
from shvit_mobile.bench.stock import export_onnx_fp32, export_xnnpack, quantize_onnx
from shvit_mobile.contracts.artifact import Artifact
from shvit_mobile.contracts.device_report import BenchmarkSettings
from shvit_mobile.contracts.manifest import TARGET_SUFFIXES, Target
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.contracts.recipe import Precision
from shvit_mobile.demo import CALIBRATION_IMAGES, TEST_IMAGES
from shvit_mobile.deploy.fold import normalize_pixels
from shvit_mobile.errors import ShvitError, get_first_line
from shvit_mobile.families.checkpoints import load_checkpoint
from shvit_mobile.families.timm_family import TIMM_PREFIX, import_timm, reparameterize
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.images.batches import iterate_batches
from shvit_mobile.images.image_set import open_images
from shvit_mobile.metrics import compute_agreement, sqnr
from shvit_mobile.pipeline.export import ExportConfig, export
from shvit_mobile.pipeline.lower import plan_artifact_path
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
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
# What runs here at the speed of its runtime.
TIMED = ("executorch fp32", "executorch int8", "onnx fp32", "onnx int8")
OUT = Path("build/compatibility")
# Pictures for BatchNorms and int8 ranges, and others to run the artifacts on.
CALIBRATION_COUNT, PICTURE_COUNT = 16, 8
_PACKAGES = ("shvit-mobile", "torch", "timm", "executorch", "torchao", "coremltools", "onnx", "onnxruntime")
# What takes seconds to import, once for all processes.
_LIBRARIES = (
    *("coremltools", "onnxruntime", "onnxscript", "executorch.exir", "torchao.quantization.pt2e"),
    *(f"shvit_mobile.targets.{target}" for target in TARGET_SUFFIXES),
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
    targets: Annotated[str, typer.Option(help="The targets, separated by commas.")] = ",".join(TARGET_SUFFIXES),
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
    kind, measure = ("stock", export_stock) if stock else ("entries", measure_export)
    if not latency:
        os.nice(10)
    for place in (Place(out, model) for model in models.split(",")):
        recorded = place.load()
        if latency:
            if not is_current(recorded.get("latency"), commit, keep=keep):
                result = run_apart(measure_latency, limit, place)
                place.record(latency={"commit": commit, "host": describe_host().model, **result})
                print(f"{place.model}, latency: {result}", flush=True)
            continue
        for job in jobs:
            if is_current(recorded.get(kind, {}).get(job), commit, keep=keep) or (stock and job not in TIMED):
                continue
            result = run_apart(measure, limit, place, *job.split())
            place.record(**{kind: {job: {"commit": commit, **result}}}, versions=get_package_versions(*_PACKAGES))
            print(f"{place.model}, {job}: {result}", flush=True)


def is_current(result: Document | None, commit: str, *, keep: bool) -> bool:
    """Return whether there is a result of this commit, or with `keep` of any."""
    return result is not None and (keep or result["commit"] == commit)


def read_commit() -> str:
    """Return the commit of the code, with a mark if files have changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=9", "--exclude=*"]
    return subprocess.run(command, cwd=Path(__file__).parent, check=True, capture_output=True, text=True).stdout.strip()


def run_apart(function: Callable[..., Document], limit: float, *arguments: Any) -> Document:
    """Return what a function returns in a process of its own, or the reason why it does not, as "reason"."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", *_LIBRARIES])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_result, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        if not receiver.poll(limit):
            process.kill()
            return {"reason": f"It took more than {limit:g} s."}
        return receiver.recv()
    except EOFError:
        process.join()
        return {"reason": f"The process ended with status {process.exitcode}."}
    finally:
        process.join()


def _send_result(sender: Any, function: Callable[..., Document], arguments: Sequence[Any]) -> None:
    try:
        sender.send(function(*arguments))
    except Exception as reason:
        sender.send({"reason": format_reason(reason)})


def format_reason(reason: Exception) -> str:
    """Return the first line of an error, without the paths of this machine."""
    kind = "" if isinstance(reason, ShvitError) else f"{type(reason).__name__}: "
    return f"{kind}{get_first_line(reason)}".replace(f"{Path.cwd()}/", "")


def measure_export(place: Place, target: Target, precision: Precision) -> Document:
    """Export a model, run the artifact on pictures, and return what the table says of it."""
    if precision in NEAREST_PRECISIONS[target]:
        nearest, why = NEAREST_PRECISIONS[target][precision]
        return {"reason": f"{target} has no {precision}: {why}. The nearest is {nearest}."}
    checkpoint = find_checkpoint(place)
    begin = time.perf_counter()
    (artifact,) = export(
        ExportConfig(
            checkpoint=checkpoint,
            variant=f"{TIMM_PREFIX}{place.model}",
            targets=[target],
            precisions=[precision],
            out=place.folder,
            overwrite=True,
            **({"calibration": load_images(CALIBRATION_COUNT), "passes": ()} if precision == "int8" else {}),
        )
    ).artifacts
    seconds = time.perf_counter() - begin
    trained = load_model(place)
    pixels = load_pixels(trained.preprocessing, open_images(TEST_IMAGES).sample(PICTURE_COUNT, 0))
    expected = compute_reference(trained, pixels)
    logits = np.concatenate([open_runner(artifact).run(image[None]) for image in pixels])
    manifest = artifact.manifest
    result = {
        "sqnr_db": round(sqnr(expected, logits), 2),
        "agreement": compute_agreement(expected, logits),
        "seconds": round(seconds, 1),
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
        pixels = load_pixels(preprocessing, load_images(CALIBRATION_COUNT))
        model = create_random_network(place.model, torch.from_numpy(preprocessing.normalize(pixels)))
        state = {key: value.contiguous().clone() for key, value in model.state_dict().items()}
        safetensors.torch.save_file(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    return path


def load_model(place: Place) -> TrainedModel:
    return load_checkpoint(find_checkpoint(place), variant=f"{TIMM_PREFIX}{place.model}")


def load_images(count: int) -> Any:
    return open_images(CALIBRATION_IMAGES).sample(count, 0)


def load_pixels(preprocessing: Preprocessing, images: Any) -> NDArray[np.uint8]:
    return np.concatenate([batch.pixels for batch in iterate_batches(images, preprocessing)])


@torch.inference_mode()
def compute_reference(trained: TrainedModel, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the checkpoint's logits in float64, of one picture at a time."""
    model = trained.model.double()
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).double()
    return torch.cat([model(normalize_pixels(image[None], trained.preprocessing)) for image in images]).numpy()


def export_stock(place: Place, target: Target, precision: Precision) -> Document:
    """Export a network whose branches are merged with the exporter and quantizer of a runtime; return its path."""
    trained = load_model(place)
    module = reparameterize(trained.model).eval()
    preprocessing = trained.preprocessing
    pixels = load_pixels(preprocessing, load_images(CALIBRATION_COUNT))
    images = [torch.from_numpy(image[None]) for image in preprocessing.normalize(pixels)]
    folder = place.folder / "stock"
    folder.mkdir(exist_ok=True)
    if target == "executorch":
        path = export_xnnpack(module, images, folder / f"stock-{precision}.pte", precision)
    else:
        path = export_onnx_fp32(module, tuple(images[0].shape), folder)
        if precision == "int8":
            path = quantize_onnx(path, images, folder)
    return {"path": str(path), "bytes": path.stat().st_size}


def measure_latency(place: Place) -> Document:
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
