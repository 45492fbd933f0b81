"""Counts what a layer costs in float instead of int8 on a phone's CPU: instructions that an emulated one executes.

Not the whole model is counted but its parts, see `int8_parts.py`: each with all its layers in int8, and with one of
them in float. Equal parts are counted once, and the counts are cached, because they never change.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from shvit_mobile.cache import get_cache_folder
from shvit_mobile.contracts.document import Contract, Count, Sha256
from shvit_mobile.contracts.recipe import Recipe
from shvit_mobile.deploy.exporting import export_model
from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.wiring import get_layer_path
from shvit_mobile.deploy.xnnpack_form import rewrite_graph, rewrite_modules
from shvit_mobile.processes import count_processors
from shvit_mobile.progress import ProgressCallback
from shvit_mobile.quantize.calibration_cache import append_line, load_lines
from shvit_mobile.quantize.int8_parts import Int8Part, cut_int8_parts
from shvit_mobile.quantize.layers import select_int8_ranges
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_overrides
from shvit_mobile.quantize.pt2e_graph import RecipeQuantizer, quantize_graph
from shvit_mobile.runtimes.arm64.counter import Counter, open_counter
from shvit_mobile.runtimes.arm64.counting import count_instructions
from shvit_mobile.runtimes.arm64.cpus import CPU, DEFAULT_CPU, find_cpu
from shvit_mobile.runtimes.arm64.sysroot import Sysroot, open_sysroot
from shvit_mobile.targets.executorch import lower_to_program
from shvit_mobile.targets.xnnpack_stem import convert_stem_to_pixel_pairs
from shvit_mobile.versions import get_package_versions

# Increase it when the same part is lowered to another program.
_CACHE_VERSION = 1


@dataclass(frozen=True)
class Emulation:
    """An emulated CPU that counts instructions."""

    counter: Counter
    sysroot: Sysroot
    cpu: CPU

    @property
    def engine(self) -> str:
        """The runtime and the emulator, with versions."""
        runtime = self.sysroot.versions.executorch
        return f"ExecuTorch {runtime} (XNNPACK), emulated by qemu {self.counter.emulator_version}"

    @property
    def sha256(self) -> str:
        """A hash of everything but the model that a count depends on."""
        versions = get_package_versions("shvit-mobile", "torch", "torchao", "executorch")
        text = json.dumps([_CACHE_VERSION, versions, self.engine, self.counter.folder.name, asdict(self.cpu)])
        return sha256(text.encode()).hexdigest()

    def count(self, program: Path, shape: Sequence[int]) -> int:
        """Return the instructions of a program for one image of this shape."""
        return sum(count_instructions(self.counter, self.sysroot, self.cpu, program, shape).kinds.values())


def open_emulation(cpu: str | None = None) -> Emulation:
    """Open what counts on a CPU of this name (default: as `benchmark`).

    Raises:
        UnknownChoice: If there is no such CPU.
        ToolMissing: If the emulator or the counter is not set up.
    """
    return Emulation(cpu=find_cpu(cpu or DEFAULT_CPU), sysroot=open_sysroot(), counter=open_counter())


class _Count(Contract):
    """A line of the cache: the instructions of a trial."""

    trial: Sha256
    instructions: Count


@dataclass(frozen=True)
class _Trial:
    """A part of the model in int8, with one layer in float if there is one."""

    part: Int8Part
    recipe: Recipe
    float_layer: str | None = None

    @cached_property
    def sha256(self) -> str:
        """A hash of what the part computes; equal ones execute the same instructions."""
        in_float = [layer == self.float_layer for layer in self.part.layers]
        text = f"{self.part.describe()}\n{in_float} {self.recipe.activations}"
        return sha256(text.encode()).hexdigest()

    def lower(self, path: Path) -> tuple[int, ...]:
        """Write the program; return the shape of its input."""
        int8 = {layer for layer in self.part.layers if layer != self.float_layer}
        example = torch.zeros(self.part.shape)
        module: nn.Module = quantize_graph(
            deepcopy(self.part.module), example, RecipeQuantizer(int8, self.recipe, set(), {})
        )
        if not self.part.takes_image and example.dim() == 4:
            example = example.permute(0, 2, 3, 1)
            module = _ChannelsLastPart(module)
        lower_to_program(module, tuple(example.shape), path, simplified=True)
        return tuple(example.shape)


class _ChannelsLastPart(nn.Module):
    """A part whose maps have their channels last, as XNNPACK passes them between operators."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        outputs = self.part(values.permute(0, 3, 1, 2))
        return tuple(one.permute(0, 2, 3, 1) if one.dim() == 4 else one for one in outputs)


def count_layer_instructions(
    deployed: DeployForm,
    recipe: Recipe,
    overrides: ParameterOverrides | None,
    emulation: Emulation,
    *,
    cache_folder: Path | None = None,
    progress: ProgressCallback | None = None,
) -> dict[str, int]:
    """Count how many more instructions an image takes with one int8 layer of a recipe in float.

    They are those of ExecuTorch's program for XNNPACK, and include the conversions between int8 and float around the
    layer, while its neighbors are int8. Two neighbors in float need no conversion between them, which is not counted.

    Args:
        recipe, overrides: A static int8 recipe, and its overrides.
        emulation: What counts, see `open_emulation`.
        cache_folder: The folder that keeps counts (default: the user's cache).
        progress: Called with the programs that are counted and their total.

    Returns:
        Instructions by layer; below zero where int8 executes more.

    Raises:
        BadRecipe: If the recipe has another precision or belongs to another model.
        EmulatorFailed: If a program does not run on the CPU.
    """
    layers = list(dict.fromkeys(map(get_layer_path, select_int8_ranges(deployed, recipe))))
    form = apply_overrides(deployed, recipe, overrides)
    # The first layer has another form in int8 than in float.
    first = recipe.model_copy(update={"float_layers": (*recipe.float_layers, *form.first_layers)})
    pairs = list(zip(_cut_form(form, recipe, layers), _cut_form(form, first, layers), strict=True))
    in_int8 = [_Trial(*part) for part, _ in pairs]
    in_float = [
        (number, layer, _Trial(*(plain if layer in form.first_layers else part), layer))
        for number, (part, plain) in enumerate(pairs)
        for layer in dict.fromkeys(part[0].layers)
    ]
    folder = cache_folder or get_cache_folder() / "calibrations"
    file = folder / f"instructions-{emulation.sha256[:16]}.jsonl"
    counts = _count([*in_int8, *(trial for _, _, trial in in_float)], emulation, file, progress)
    costs = dict.fromkeys(layers, 0)
    for number, layer, trial in in_float:
        costs[layer] += counts[trial.sha256] - counts[in_int8[number].sha256]
    return costs


def _cut_form(deployed: DeployForm, recipe: Recipe, layers: Sequence[str]) -> list[tuple[Int8Part, Recipe]]:
    """Return the parts of the form for XNNPACK in which `layers` pass int8 to each other, and its recipe."""
    module, changed = convert_stem_to_pixel_pairs(rewrite_modules(deployed), deployed, recipe)
    shape = (1, 3, *deployed.trained.preprocessing.size)
    rewritten = rewrite_graph(module, deployed.trained.family, shape)
    exported = export_model(rewritten, torch.zeros(shape)).module()
    return [(part, changed) for part in cut_int8_parts(exported, layers)]


def _count(
    trials: Sequence[_Trial], emulation: Emulation, file: Path, progress: ProgressCallback | None
) -> dict[str, int]:
    """Return the instructions of trials by their hash; those that `file` does not have are counted and added to it."""
    counts = {row.trial: row.instructions for row in load_lines(file, TypeAdapter(_Count))}
    new = {trial.sha256: trial for trial in trials if trial.sha256 not in counts}
    lowered = dict[str, Future[int]]()
    with TemporaryDirectory() as folder, ThreadPoolExecutor(count_processors()) as threads:

        def count(key: str, path: Path, shape: Sequence[int]) -> int:
            instructions = emulation.count(path, shape)
            append_line(file, _Count(trial=key, instructions=instructions))
            return instructions

        for done, (key, trial) in enumerate(new.items()):
            if progress is not None:
                progress(done, len(new))
            path = Path(folder, f"{key}.pte")
            lowered[key] = threads.submit(count, key, path, trial.lower(path))
        counts |= {key: future.result() for key, future in lowered.items()}
    if progress is not None:
        progress(len(new), len(new))
    return counts
