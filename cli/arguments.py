"""Turns the values of options into what the library takes; an option that was not given is left to the library."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from shvit_mobile.errors import ConflictingParameters, InvalidValue, parse_image_size

from .console import print_note
from .options import MODEL_PANEL, TargetChoice

if TYPE_CHECKING:
    from shvit_mobile.contracts.manifest import Target
    from shvit_mobile.families.trained_model import TrainedModel


def drop_none(**values: Any) -> dict[str, Any]:
    """Return the options that were given, by the library's names; choices become plain names."""
    return {name: _to_plain(value) for name, value in values.items() if value is not None}


def _to_plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return [_to_plain(one) for one in value] if isinstance(value, list) else value


def model_options(*, model: str | None = None, size: str | None = None, **given: Any) -> dict[str, Any]:
    """Return the fields of `ModelOptions`; `given` has those whose options have the same names and values."""
    return drop_none(variant=model, size=None if size is None else parse_image_size(size, "--size"), **given)


def list_given_model_options(context: typer.Context) -> list[str]:
    """Return the options about the model with which a command runs, as they are typed."""
    given = [
        (max(option.opts, key=len), context.params[option.name])
        for option in context.command.params
        if getattr(option, "rich_help_panel", None) == MODEL_PANEL and context.params.get(option.name) is not None
    ]
    return [str(word) for flag, value in given for word in (flag, *(value if isinstance(value, tuple) else (value,)))]


def load_trained_model(**given: Any) -> TrainedModel:
    """Load the checkpoint that the options describe, or the embedded demo model, and print its notes."""
    from shvit_mobile.pipeline.config import ModelOptions

    trained = ModelOptions(**model_options(**given)).load_model()
    for sentence in trained.notes:
        print_note(f"note: {sentence}")
    return trained


def calibration_options(
    calibration: Path | None,
    count: int | None,
    observer: str | None,
    activations: str | None,
    passes: list[Any] | None,
    seed: int | None,
    sampling: str | None = None,
) -> dict[str, Any]:
    """Return the fields of `CalibrationOptions`."""
    return drop_none(
        calibration=calibration,
        calibration_count=count,
        observer=observer,
        activations=activations,
        passes=None if passes is None else _parse_passes(_to_plain(list(passes))),
        seed=seed,
        balanced=None if sampling is None else sampling == "balanced",
    )


def gate_options(
    *,
    min_agreement: float | None = None,
    min_top1: float | None = None,
    min_box_agreement: float | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Return the fields of `GateOptions`; `given` has those whose options have the same values.

    Args:
        min_agreement, min_top1, min_box_agreement: In percent; a share by mistake (0.985) would let everything pass,
            and is refused.
    """
    shares = {"min_agreement": min_agreement, "min_top1": min_top1, "min_box_agreement": min_box_agreement}
    for name, percent in shares.items():
        if percent is not None and (not 0 <= percent <= 100 or 0 < percent <= 1):
            flag = f"--{name.replace('_', '-')}"
            meant = f"Did you mean {flag} {100 * percent:g}?" if 0 < percent <= 1 else ""
            raise InvalidValue(f"{flag} is {percent:g}.", why="It is in percent, 0 to 100.", hint=meant)
    return drop_none(**{name: None if percent is None else percent / 100 for name, percent in shares.items()}, **given)


def target_options(
    target: list[TargetChoice] | None, given: Mapping[Target, Mapping[str, tuple[str, Any]]]
) -> dict[str, Any]:
    """Return `targets` and `options` of `ExportConfig`.

    Args:
        target: The targets, "all" among them.
        given: By target and field of its options, the flag and its value; None is not given.
    """
    names = list(dict.fromkeys(map(str, target or [])))
    return {"targets": names, "options": build_target_options(_expand_targets(names), given)}


def _expand_targets(names: Iterable[str]) -> list[Target]:
    """Return the targets by name, each once; 'all' stands for those that need nothing else."""
    from shvit_mobile.contracts.manifest import ALL_TARGETS

    expanded = (one for name in names for one in (ALL_TARGETS if name == "all" else [str(name)]))
    return list(dict.fromkeys(expanded))  # type: ignore[arg-type]


def build_target_options(
    targets: Iterable[Target], given: Mapping[Target, Mapping[str, tuple[str, Any]]]
) -> dict[Target, Any]:
    """Return the options object of each target for which a flag was given.

    A flag of several targets is for those among them that are exported to.
    """
    from shvit_mobile.pipeline.lower import TARGET_MODULES

    built, chosen = {}, set(targets)
    for target, flags in given.items():
        values = {field: value for field, (_, value) in flags.items() if value is not None}
        for flag in [flag for flag, value in flags.values() if value is not None]:
            owners = [owner for owner, theirs in given.items() if flag in {name for name, _ in theirs.values()}]
            if not chosen.intersection(owners):
                raise ConflictingParameters(
                    f"{flag} is given without --target {' or --target '.join(owners)}.",
                    why=f"It is an option of {' and '.join(owners)} artifacts.",
                )
        if values and target in chosen:
            module, options = TARGET_MODULES[target]
            built[target] = getattr(import_module(module), options)(**values)
    return built


def _parse_passes(names: list[str]) -> list[str]:
    """Return the PTQ passes by name; 'none' stands for plain int8."""
    if "none" not in names:
        return names
    if len(names) > 1:
        raise ConflictingParameters(
            "--pass none is given with other passes.", why="It means plain int8, without any pass."
        )
    return []


def parse_share(option: str, text: str) -> float:
    """Return the share, 0 to 1, of '100%' or '97.5'."""
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)\s*%?", text.strip(), re.ASCII)
    if not match or float(match[1]) > 100:
        raise InvalidValue(f"{option} is '{text}'.", why="It is in percent, 0 to 100.", hint=f"Try: {option} 100%")
    return float(match[1]) / 100


def check_output_files(*files: Path | None, overwrite: bool) -> None:
    """Raise where one of the files could not be written; ask before the work begins."""
    from shvit_mobile.pipeline.config import check_output_file

    for file in files:
        check_output_file(file, overwrite=overwrite)
