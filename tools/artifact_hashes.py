"""Hashes every kind of artifact, to show that a restructuring changes none of them.

    python tools/artifact_hashes.py --recipes build/recipes --out before.json
    python tools/artifact_hashes.py --recipes build/recipes --compare before.json [--only '*int8*'] [--model demo]

The models are the embedded demo and a random SHViT-S4 of 1000 classes. The first run writes S4's checkpoint and the
int8 recipes into the folder of recipes; later runs read them, so that no hash depends on how this machine calibrates.
Only `.../calibrated/...` does: the recipe of a fresh calibration with all steps. Its `values` are the numbers of the
recipe and of its corrections without their names, and stay the same where a field is merely renamed. Between them, the
two models' recipes have every kind of correction: the demo's calibration keeps other steps than S4's.

S4 leaves out what the demo covers and what its size does not change: palette-8, blocks, symmetric activations, plain
mixed, opsets; and space-to-depth under int8-steps. Where two processes have a core each, all of it takes about 8
minutes.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import load_file, save_file

# All that is used of the library. A restructuring edits these lines; where a keyword or a field changes its name, the
# tables below and the few calls of these functions too. Where a recipe's own fields do, the files in the folder of
# recipes have to be rewritten by hand: a new calibration would be another input.
# isort: split
from shvit_mobile import calibrate_recipe, load_checkpoint, lower, open_images, to_deploy_form
from shvit_mobile.contracts.fingerprints import compute_sha256 as fingerprint
from shvit_mobile.contracts.recipe import PTQ_PASSES
from shvit_mobile.demo import CALIBRATION_IMAGES, CHECKPOINT
from shvit_mobile.environments import ENVIRONMENTS
from shvit_mobile.families.shvit import create_shvit
from shvit_mobile.quantize.overrides import CalibratedRecipe, load_recipe, save_recipe
from shvit_mobile.targets.coreai import CoreAIOptions
from shvit_mobile.targets.coreml import CoreMLOptions
from shvit_mobile.targets.executorch import ExecuTorchOptions
from shvit_mobile.targets.litert import LiteRTOptions
from shvit_mobile.targets.onnx import ONNXOptions
from shvit_mobile.versions import get_package_versions

OPTIONS: dict[str, Any] = {
    "coreml": CoreMLOptions,
    "executorch": ExecuTorchOptions,
    "onnx": ONNXOptions,
    "coreai": CoreAIOptions,
    "litert": LiteRTOptions,
}
# Where corrections lie beside a recipe.
OVERRIDES_SUFFIX = ".safetensors"

MODELS = ("demo", "s4")
IMAGES = 32
# Recipes without images come from `calibrate_recipe` each time; these are read. Every n-th layer stays float, starting
# with the first or the second, because the first layer is special.
INT8_RECIPES: dict[str, dict[str, Any]] = {
    "int8": {"observer": "mse"},
    "int8-symmetric": {"observer": "percentile", "activations": "symmetric"},
    "int8-steps": {"observer": "mse", "steps": PTQ_PASSES},
}
MIXED_RECIPES = {"mixed": ("int8", slice(1, None, 7)), "mixed-steps": ("int8-steps", slice(0, None, 6))}
TENSOR, EINSUM = {"input": "tensor"}, {"layout": "einsum"}
BLOCKS = {"block": 16, "deployment_target": "iOS18"}
STEM = {"stem": "space-to-depth"}
STATIC = {"dynamic_batch": False}

# The target is experimental, and its packages are not on every system.
COREAI_PLAN = {"fp32": ({},), "fp16": ({},), "int8-steps": ({},), "mixed-steps": ({},)}

# Models are converted in an environment of its own, which is not installed everywhere.
LITERT_PLAN = {"fp32": ({},), "fp16": ({},), "int8": ({},), "int8-steps": ({},), "mixed-steps": ({},)}
HAS_LITERT = ENVIRONMENTS["litert"].is_installed and find_spec("ai_edge_litert") is not None

# By model and target: recipes, and the options each is lowered with.
PLAN: dict[str, dict[str, dict[str, tuple[dict[str, Any], ...]]]] = {
    "demo": {
        "coreml": {
            "fp32": ({}, {"deployment_target": "iOS15"}),
            "fp16": ({}, TENSOR, EINSUM, {"classifier": False}),
            "int8": ({}, TENSOR | EINSUM),
            "int8-symmetric": ({},),
            "int8-steps": ({}, TENSOR, EINSUM),
            "mixed": ({},),
            "mixed-steps": ({},),
            "int8-weights": ({}, BLOCKS, EINSUM),
            "palette-8": ({},),
            "palette-6": ({}, BLOCKS),
            "palette-4": ({}, BLOCKS),
        },
        "executorch": {
            "fp32": ({}, STEM),
            "fp16": ({}, STEM),
            "int8": ({}, STEM, {"head": "int8-dynamic"}),
            "int8-symmetric": ({},),
            "int8-steps": ({}, STEM),
            "mixed": ({},),
            "mixed-steps": ({},),
            "int8-dynamic": ({}, STEM),
        },
        "onnx": {
            "fp32": ({}, STATIC, {"opset": 21}),
            "int8": ({}, STATIC, {"opset": 20}),
            "int8-symmetric": ({},),
            "int8-steps": ({}, STATIC),
            "mixed": ({},),
            "mixed-steps": ({},),
        },
        **({"coreai": COREAI_PLAN} if find_spec("coreai_torch") else {}),
        **({"litert": LITERT_PLAN} if HAS_LITERT else {}),
    },
    "s4": {
        "coreml": {
            "fp32": ({},),
            "fp16": ({}, TENSOR | EINSUM),
            "int8": ({},),
            "int8-steps": ({},),
            "mixed-steps": ({},),
            "int8-weights": ({},),
            "palette-6": ({},),
            "palette-4": ({},),
        },
        "executorch": {
            "fp32": ({},),
            "int8": ({"head": "float"},),
            "int8-steps": ({},),
            "mixed-steps": (STEM,),
            "int8-dynamic": ({},),
        },
        "onnx": {"fp32": ({},), "int8": ({},), "int8-steps": ({},), "mixed-steps": ({}, STATIC)},
        **({"litert": {"fp32": ({},), "int8-steps": ({},)}} if HAS_LITERT else {}),
    },
}
# Instruction sets that kernels of torch choose by.
INSTRUCTIONS = ("avx", "avx2", "fma", "f16c", "avx512", "amx", "avx_vnni", "asimd", "bf16", "i8mm", "sve")
PACKAGES = (
    *("torch", "torchao", "coremltools", "executorch", "onnx", "onnxruntime", "coreai-core", "coreai-torch"),
    "ai-edge-litert",
    *("numpy", "safetensors"),
)
FAILURE_PREFIX = "failed: "


@dataclass(frozen=True)
class HashJob:
    """One artifact, or the fresh calibration where there is no target.

    Attributes:
        recipe: its name.
        options: of the target, beside its defaults.
    """

    model: str
    target: str = ""
    recipe: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        chosen = [f"{name}={value}" for name, value in sorted(self.options.items())]
        return "/".join([self.model, self.target or "calibrated", *filter(None, [self.recipe]), *chosen])


def main(
    recipes: Annotated[Path, typer.Option(help="The folder of fixed recipes; written where they are missing.")],
    out: Annotated[Path | None, typer.Option(help="Write the hashes into this file.")] = None,
    compare: Annotated[Path | None, typer.Option(help="Exit with 1 where a hash differs from this file's.")] = None,
    only: Annotated[str, typer.Option(help="Make only what this pattern matches: '*/coreml/*', '*steps*'.")] = "*",
    model: Annotated[str, typer.Option(help="demo, s4 or all.")] = "all",
    jobs: Annotated[int, typer.Option(help="Processes; each computes with one thread.")] = os.cpu_count() or 1,
) -> None:
    if model not in (*MODELS, "all"):
        raise typer.BadParameter(f"'{model}' is none of {', '.join(MODELS)}, all.")
    before = json.loads(compare.read_text(encoding="utf-8")) if compare else None
    models = MODELS if model == "all" else (model,)
    wanted = [job for name in models for job in list_jobs(name) if fnmatch(job.name, only)]
    if not wanted:
        raise typer.BadParameter(f"No artifact's name matches '{only}'.")
    print(f"Library: {find_library()}")
    with ProcessPoolExecutor(jobs, get_context("spawn"), begin_process) as pool:
        for model_name, seconds in pool.map(prepare, models, [recipes] * len(models)):
            print(f"{seconds:6.1f} s  {model_name}'s recipes", flush=True)
        hashes: dict[str, str] = {}
        under_way = {pool.submit(run_job, job, recipes): job for job in wanted}
        for done in as_completed(under_way):
            found, seconds = done.result()
            hashes |= found
            print(f"{seconds:6.1f} s  {under_way[done].name}  {min(found.values())[:60]}", flush=True)
    # Of all models, so that a part compares with the whole.
    inputs = {file.name: fingerprint(file) for file in sorted(recipes.iterdir()) if file.is_file()}
    result = {"environment": describe_environment(), "inputs": inputs, "hashes": dict(sorted(hashes.items()))}
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    failed = sorted(name for name, value in hashes.items() if value.startswith(FAILURE_PREFIX))
    for name in failed:
        print(f"FAILED   {name}: {hashes[name].removeprefix(FAILURE_PREFIX)}")
    differing = list(compare_hashes(before, result, wanted)) if before else []
    print(*differing, sep="\n", end="\n" if differing else "")
    print(f"{len(hashes)} hashes, {len(failed)} failed" + (f", {len(differing)} differences" if before else ""))
    if failed or differing:
        raise typer.Exit(1)


def list_jobs(model: str) -> Iterator[HashJob]:
    """What is made of a model."""
    yield HashJob(model)
    for target, by_recipe in PLAN[model].items():
        for recipe, variants in by_recipe.items():
            yield from (HashJob(model, target, recipe, options) for options in variants)


def prepare(model: str, folder: Path) -> tuple[str, float]:
    """Writes the inputs of a model that are not in the folder yet; seconds of CPU that took."""
    start = time.process_time()
    folder.mkdir(parents=True, exist_ok=True)
    if model == "s4" and not get_checkpoint_path(model, folder).exists():
        write_random_s4(get_checkpoint_path(model, folder))
    used = {recipe for by_recipe in PLAN[model].values() for recipe in by_recipe}
    for name, settings in INT8_RECIPES.items():
        if name in used and not get_recipe_path(model, name, folder).exists():
            save_recipe(get_recipe_path(model, name, folder), *calibrate_model(model, folder, **settings))
    for name, (origin, floats) in MIXED_RECIPES.items():
        if name in used and not get_recipe_path(model, name, folder).exists():
            whole, overrides = load_recipe(get_recipe_path(model, origin, folder))
            mixed = whole.model_copy(update={"float_layers": tuple(list(whole.ranges)[floats])})
            save_recipe(get_recipe_path(model, name, folder), mixed, overrides)
    return model, time.process_time() - start


def begin_process() -> None:
    """One thread, for the same sums everywhere; no search for garbage within a lowering, where it takes long."""
    torch.set_num_threads(1)
    gc.disable()


def run_job(job: HashJob, folder: Path) -> tuple[dict[str, str], float]:
    """The hashes of a job by name, and their seconds of CPU; what was wrong in place of a hash where it fails."""
    start = time.process_time()
    try:
        found = hash_artifact(job, folder) if job.target else hash_calibration(job, folder)
    except Exception as reason:
        found = {job.name: f"{FAILURE_PREFIX}{type(reason).__name__}: {reason}"}
    gc.collect()
    return found, time.process_time() - start


def hash_artifact(job: HashJob, folder: Path) -> dict[str, str]:
    deployed = load_deploy_form(job.model, folder)
    fixed = job.recipe in (INT8_RECIPES.keys() | MIXED_RECIPES.keys())
    recipe, overrides = (
        load_recipe(get_recipe_path(job.model, job.recipe, folder))
        if fixed
        else calibrate_recipe(deployed, precision=job.recipe)  # type: ignore[arg-type]
    )
    with TemporaryDirectory() as place:
        options = OPTIONS[job.target](**job.options)
        artifact = lower(
            deployed,
            recipe,
            job.target,  # type: ignore[arg-type]
            Path(place),
            overrides=overrides,
            options=options,
        )
        return {job.name: fingerprint(artifact.path)}


def hash_calibration(job: HashJob, folder: Path) -> dict[str, str]:
    """Of a fresh recipe with all steps: its file, that of its corrections, and their numbers without names."""
    with TemporaryDirectory() as place:
        file = Path(place) / "recipe.json"
        save_recipe(file, *calibrate_model(job.model, folder, **INT8_RECIPES["int8-steps"]))
        corrections = file.with_suffix(OVERRIDES_SUFFIX)
        tensors = load_file(corrections).values()
        values = [repr(value) for value in collect_floats(json.loads(file.read_text(encoding="utf-8")))]
        values += [sha256(tensor.contiguous().numpy().tobytes()).hexdigest() for tensor in tensors]
        return {
            f"{job.name}/recipe": fingerprint(file),
            f"{job.name}/corrections": fingerprint(corrections),
            f"{job.name}/values": sha256("\n".join(sorted(values)).encode()).hexdigest(),
        }


def collect_floats(document: Any) -> Iterator[float]:
    """Every number of a JSON document that is no integer."""
    if isinstance(document, float):
        yield document
    elif isinstance(document, dict | list):
        for part in document.values() if isinstance(document, dict) else document:
            yield from collect_floats(part)


def calibrate_model(model: str, folder: Path, **settings: Any) -> CalibratedRecipe:
    return calibrate_recipe(load_deploy_form(model, folder), open_images(CALIBRATION_IMAGES), count=IMAGES, **settings)


@cache
def load_deploy_form(model: str, folder: Path) -> Any:
    return to_deploy_form(load_checkpoint(get_checkpoint_path(model, folder)))


def get_checkpoint_path(model: str, folder: Path) -> Path:
    return CHECKPOINT if model == "demo" else folder / f"{model}.safetensors"


def get_recipe_path(model: str, name: str, folder: Path) -> Path:
    return folder / f"{model}-{name}.json"


@torch.no_grad()
def write_random_s4(path: Path) -> None:
    """A SHViT-S4 whose norms and biases are far from the identity, and whose activations stay moderate."""
    generator = torch.Generator().manual_seed(0)
    state = create_shvit("shvit_s4").state_dict()
    for name, tensor in state.items():
        if tensor.ndim > 1:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * (2 / tensor[0].numel()) ** 0.5)
        elif name.endswith("weight"):
            tensor.copy_(0.3 + 0.6 * torch.rand(tensor.shape, generator=generator))
        elif name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif tensor.is_floating_point():
            tensor.copy_(0.2 * torch.randn(tensor.shape, generator=generator))
    save_file(state, path)


def compare_hashes(before: dict[str, Any], after: dict[str, Any], wanted: list[HashJob]) -> Iterator[str]:
    """A line for each hash that is not as before; what else could explain it is printed."""
    for part in ("environment", "inputs"):
        for name in sorted(before[part].keys() & after[part].keys()):
            if before[part][name] != after[part][name]:
                print(f"note: {part}, {name}: {before[part][name]} before, {after[part][name]} now")
    names = {job.name for job in wanted}
    # A calibration has several hashes under its name.
    whole = {job.name for job in wanted if not job.target}
    asked = {name for name in before["hashes"] if name in names or Path(name).parent.as_posix() in whole}
    for name in sorted(asked | after["hashes"].keys()):
        old, new = before["hashes"].get(name), after["hashes"].get(name)
        if old is None or new is None:
            yield f"{'NEW' if old is None else 'MISSING':8} {name}"
        elif old != new:
            yield f"DIFFERS  {name}: {old[:12]} before, {new[:12]} now"


def describe_environment() -> dict[str, Any]:
    """What a hash may depend on besides the library."""
    return {
        **get_package_versions(*PACKAGES),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "torch's kernels": torch.backends.cpu.get_cpu_capability(),
        "instructions": describe_instruction_sets(),
        "library": str(find_library()),
    }


def describe_instruction_sets() -> str:
    """The CPU's instruction sets that matter, as Linux names them; nothing elsewhere."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    flags = next((line.split(":")[1].split() for line in lines if line.lower().startswith(("flags", "features"))), [])
    return " ".join(sorted(flag for flag in flags if flag.startswith(INSTRUCTIONS)))


def find_library() -> Path:
    """Where shvit_mobile comes from."""
    found = find_spec("shvit_mobile")
    return Path(found.origin).parent if found and found.origin else Path()


if __name__ == "__main__":
    typer.run(main)
