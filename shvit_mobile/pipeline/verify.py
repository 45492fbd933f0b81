"""Verifies every new artifact before it gets its name: it loads, runs, and computes what the deploy form does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from shvit_mobile.contracts.artifact import Artifact, list_unproven_notes
from shvit_mobile.contracts.drift_row import Execution
from shvit_mobile.contracts.goldens import LOWERING_FACTOR
from shvit_mobile.contracts.manifest import Manifest
from shvit_mobile.contracts.recipe import ActivationRange, Recipe
from shvit_mobile.deploy.activations import Activation
from shvit_mobile.deploy.form import LOGITS, DeployForm, run_in_batches
from shvit_mobile.drift.ladder import build_simulation, convert_to_arrays
from shvit_mobile.drift.map_drift import OutputsFunction
from shvit_mobile.errors import VerificationFailed
from shvit_mobile.metrics import sqnr
from shvit_mobile.quantize.fake_quant import fake_quantize
from shvit_mobile.quantize.layers import get_call_range, select_int8_ranges
from shvit_mobile.quantize.observation import observe_ranges
from shvit_mobile.quantize.overrides import ParameterOverrides, apply_overrides
from shvit_mobile.runtimes import open_runner
from shvit_mobile.targets.capabilities import has_fp16_floats
from shvit_mobile.targets.tolerances import (
    BOUNDED_PRECISIONS,
    LOW_SQNR_DB,
    MEDIAN_WIDTHS,
    MIN_SQNR_DB,
    WIDTHS,
    compute_simulation_bound,
    compute_tolerance,
)
from shvit_mobile.threads import use_one_thread_per_kernel

Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class VerificationResult:
    """The outputs of an artifact on this machine.

    Attributes:
        outputs: The artifact's outputs by name, float32, shape (images, *shape).
        float_outputs: The outputs of the float deploy form, same shapes.
        execution, engine: What ran the artifact.
        tolerances: By output, the largest allowed difference between it and that of another machine.
        notes: What is doubtful about its recipe, a sentence each.
    """

    outputs: Outputs
    float_outputs: Outputs
    execution: Execution
    engine: str
    tolerances: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @property
    def tolerance(self) -> float:
        """The largest of the tolerances."""
        return max(self.tolerances.values())

    def drop_first(self) -> VerificationResult:
        """Return the result without the first image."""
        outputs, float_outputs = (
            {name: values[1:] for name, values in one.items()} for one in (self.outputs, self.float_outputs)
        )
        return replace(self, outputs=outputs, float_outputs=float_outputs)


@use_one_thread_per_kernel()
def verify_artifact(
    artifact: Artifact,
    deployed: DeployForm,
    pixels: NDArray[np.uint8],
    *,
    overrides: ParameterOverrides | None = None,
    has_gate: bool = False,
) -> VerificationResult:
    """Run an artifact in its own runtime or the reference executor, and compare it with what it should compute.

    fp32 and fp16 should compute what the deploy form does, other precisions what PyTorch computes for their recipes.

    An unproven artifact cannot run: then the result is what it should compute, and its execution "simulated".

    Args:
        pixels: uint8, shape (images, height, width, 3).
        overrides: The overrides of the artifact's recipe.
        has_gate: A gate decides whether the recipe suits the model, not these pictures.

    Raises:
        VerificationFailed: If a value is not finite, an output is too far from what it should be, or the ranges of the
            recipe are not the model's.
    """
    # One image at a time, as in an app: with more, a kernel may sum in another order.
    expected = _run_each(lambda image: convert_to_arrays(deployed.run_outputs(image)), pixels)
    if artifact.manifest.is_unproven:
        return _simulate_unproven(artifact, deployed, pixels, expected, overrides)
    runner = open_runner(artifact)
    outputs = _run_each(runner.run_outputs, pixels)
    for name, values in outputs.items():
        _check_finite(artifact, name, values, expected[name])
    manifest = artifact.manifest
    tolerances = _compute_tolerances(manifest, outputs)
    if manifest.precision in BOUNDED_PRECISIONS:
        for name, values in outputs.items():
            _check_bound(artifact, name, float(np.abs(values - expected[name]).max()), tolerances[name])
    notes: tuple[str, ...] = ()
    if manifest.precision not in BOUNDED_PRECISIONS:
        simulated = _simulate(deployed, manifest.recipe, overrides, pixels)
        levels = {name: sqnr(_flatten(expected[name]), _flatten(simulated[name])) for name in expected}
        decibels = min(levels.values())
        if not has_gate:
            _check_recipe(deployed, manifest.recipe, overrides, pixels, decibels)
        for name in expected:
            # Where little of an output is left, each rounding changes it all; then only a gate can decide.
            if levels[name] >= MIN_SQNR_DB:
                _check_simulation(artifact, name, outputs[name], simulated[name], expected[name])
        if decibels < LOW_SQNR_DB:
            what = "its logits have" if manifest.task == "classify" else "a map has"
            notes = (
                f"{artifact.path.name}: on the pictures of its goldens, {what} an SQNR of {decibels:.1f} dB. "
                "Its answers may change often; compare it with the checkpoint: shvit-mobile validate.",
            )
    return VerificationResult(outputs, expected, runner.execution, runner.engine, tolerances, notes)


def _run_each(run: OutputsFunction, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Run images one at a time; return the outputs by name, shape (images, *shape)."""
    parts = [run(image[None]) for image in pixels]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _flatten(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an output as a matrix, shape (images, values)."""
    return values.reshape(len(values), -1)


def _compute_tolerances(manifest: Manifest, outputs: Outputs) -> dict[str, float]:
    target, precision = manifest.qualified_target, manifest.precision
    half = has_fp16_floats(manifest)
    return {
        name: compute_tolerance(target, precision, values, has_fp16_floats=half) for name, values in outputs.items()
    }


def _check_finite(artifact: Artifact, name: str, values: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Raise `VerificationFailed` if an output has another shape than it should, or values that are not finite."""
    if values.shape == expected.shape and np.isfinite(values).all():
        return
    parameter = "float_dtype" if has_fp16_floats(artifact.manifest) else "precision"
    raise VerificationFailed(
        f"{artifact.path.name} gives {name} of shape {values.shape[1:]}, of which "
        f"{int((~np.isfinite(values)).any(axis=0).sum())} values are not finite.",
        why="fp16 overflows above 65504, or the checkpoint holds extreme values.",
        hint=f"Set `{parameter}=fp32`.",
        parameter=parameter,
    )


def _build_overflow_error(what: str, parameter: str) -> VerificationFailed:
    return VerificationFailed(
        what,
        why="fp16 overflows above 65504; inside a norm this gives zeros instead of an error.",
        hint=f"Set `{parameter}=fp32`. If that works, a value of the model is too large for fp16.",
        parameter=parameter,
    )


def _check_bound(artifact: Artifact, name: str, error: float, tolerance: float) -> None:
    """Raise `VerificationFailed` if an output in fp32 or fp16 is too far from the deploy form's."""
    if error <= LOWERING_FACTOR * tolerance:
        return
    what = (
        f"{_name_values(name)} of {artifact.path.name} differ from the checkpoint's by {error:.2g}; "
        f"{LOWERING_FACTOR * tolerance:.2g} is allowed."
    )
    if artifact.manifest.precision == "fp16":
        raise _build_overflow_error(what, "precision")
    raise VerificationFailed(
        what,
        why="The artifact was run and does not compute what the checkpoint does.",
        hint="Please report it with the output of: shvit-mobile doctor --json",
    )


def _simulate_unproven(
    artifact: Artifact,
    deployed: DeployForm,
    pixels: NDArray[np.uint8],
    expected: Outputs,
    overrides: ParameterOverrides | None,
) -> VerificationResult:
    """Return what an artifact that cannot run here should compute, once its recipe is known to fit the model."""
    manifest, outputs = artifact.manifest, expected
    if manifest.precision not in BOUNDED_PRECISIONS:
        outputs = _simulate(deployed, manifest.recipe, overrides, pixels)
        decibels = min(sqnr(_flatten(expected[name]), _flatten(outputs[name])) for name in expected)
        _check_recipe(deployed, manifest.recipe, overrides, pixels, decibels)
    tolerances = _compute_tolerances(manifest, outputs)
    return VerificationResult(outputs, expected, "simulated", "PyTorch", tolerances, list_unproven_notes(manifest))


@torch.inference_mode()
def _simulate(
    deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides | None, pixels: NDArray[np.uint8]
) -> dict[str, NDArray[np.float32]]:
    """Compute the outputs of a recipe in PyTorch, of one image at a time."""
    if recipe.precision != "int8":
        return _run_each(build_simulation(deployed, recipe, overrides), pixels)
    ranges, module = select_int8_ranges(deployed, recipe), apply_overrides(deployed, recipe, overrides).module
    simulation = fake_quantize(module, deployed.wiring, ranges, recipe.activations)
    return convert_to_arrays(run_in_batches(simulation, deployed, pixels, size=1))


def _name_values(output: str) -> str:
    """Return the beginning of a sentence about an output: "The logits"."""
    return "The logits" if output == LOGITS else f"The values of {output}"


def _check_simulation(
    artifact: Artifact,
    name: str,
    actual: NDArray[np.float32],
    simulated: NDArray[np.float32],
    expected: NDArray[np.float32],
) -> None:
    """Raise `VerificationFailed` if an output of an artifact is not what PyTorch computes for its recipe."""
    error, noise, signal = map(_compute_rms, (actual - simulated, simulated - expected, expected))
    in_blocks = bool(artifact.manifest.options.get("block"))
    bound = compute_simulation_bound(artifact.manifest.precision, noise, signal, in_blocks=in_blocks)
    if error > bound:
        what = (
            f"{_name_values(name)} of {artifact.path.name} differ from those of its recipe in PyTorch by {error:.2g} "
            f"(root mean square); {bound:.2g} is allowed."
        )
        if has_fp16_floats(artifact.manifest):
            raise _build_overflow_error(what, "float_dtype")
        raise VerificationFailed(
            what,
            why="The artifact was run and does not compute what its recipe says.",
            hint="Please report it with the output of: shvit-mobile doctor --json",
        )


def _check_recipe(
    deployed: DeployForm,
    recipe: Recipe,
    overrides: ParameterOverrides | None,
    pixels: NDArray[np.uint8],
    decibels: float,
) -> None:
    """Raise `VerificationFailed` if the ranges of a recipe are not the model's, or it ruins the outputs."""
    hint = (
        "Calibrate again on images like those the app will see, with PTQ passes; or give images and a limit, such as "
        "`max_drop=1`, which decides instead, and which keeps layers in float where needed; or set `precision=fp16`."
    )
    widths = _measure_widths(deployed, recipe, overrides, pixels)
    if widths:
        middle = float(np.median(list(widths.values())))
        layer = max(widths, key=lambda name: abs(np.log(widths[name])))
        wrong = not WIDTHS[0] <= widths[layer] <= WIDTHS[1]
        if wrong or not MEDIAN_WIDTHS[0] <= middle <= MEDIAN_WIDTHS[1]:
            what = f"that of {layer} is {widths[layer]:.2g}" if wrong else f"they are in the middle {middle:.2g}"
            raise VerificationFailed(
                f"The ranges of the recipe do not fit {deployed.trained.variant}: {what} times as wide as its values.",
                why="Values were measured on the pictures of the goldens. The recipe may be of another model.",
                hint=hint,
                parameter="recipe",
            )
    if decibels < MIN_SQNR_DB:
        raise VerificationFailed(
            f"With this recipe {recipe.precision_name} does not compute what {deployed.trained.variant} does: the SQNR "
            f"of its {'logits' if deployed.trained.task == 'classify' else 'worst map'} is {decibels:.1f} dB.",
            why=f"Below {MIN_SQNR_DB:g} dB most answers are wrong.",
            hint=hint,
            parameter="recipe",
        )


@torch.inference_mode()
def _measure_widths(
    deployed: DeployForm, recipe: Recipe, overrides: ParameterOverrides | None, pixels: NDArray[np.uint8]
) -> dict[str, float]:
    """Return how wide the ranges of each int8 layer are, relative to its values for some pictures.

    Outputs count behind the activation, which may make values beyond a range alike.
    """
    if recipe.precision != "int8":
        return {}
    ranges, seen = select_int8_ranges(deployed, recipe), dict[str, ActivationRange]()
    module = apply_overrides(deployed, recipe, overrides).module
    with observe_ranges(module, deployed.wiring, seen, layers=ranges.keys()):
        for image in pixels:
            module(deployed.prepare(image[None]))
    calls = {call.name: call for call in deployed.wiring.calls}
    pairs = {
        f"{name} ({end})": (
            _compute_width(getattr(get_call_range(ranges, name), end), activation),
            _compute_width(getattr(theirs, end), activation),
        )
        for name, theirs in seen.items()
        for end, activation in (("input", None), ("output", calls[name].activation))
    }
    # A value that is always zero has no width to compare with.
    return {name: max(ours, theirs / 1e6) / theirs for name, (ours, theirs) in pairs.items() if theirs > 0}


def _compute_width(ends: tuple[float, float], activation: Activation | None) -> float:
    """Return the width behind an activation of a range, extended to contain zero, as int8 does."""
    extended = torch.tensor([min(ends[0], 0.0), max(ends[1], 0.0)], dtype=torch.float64)
    low, high = (extended if activation is None else activation(extended)).tolist()
    return abs(high - low)


def _compute_rms(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))
