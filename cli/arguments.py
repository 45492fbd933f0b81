"""What the options mean: texts and files turned into what `shvit_mobile` takes, with a sentence for what cannot be."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shvit_mobile.demo import CALIBRATION_IMAGES, CHECKPOINT
from shvit_mobile.errors import InvalidConfig, UnknownChoice, parse_choice

from .options import ChannelValues

if TYPE_CHECKING:
    from shvit_mobile.contracts.manifest import Target
    from shvit_mobile.contracts.recipe import ActivationScheme, ObserverName, Precision, PTQPassName
    from shvit_mobile.drift.gates import Gate
    from shvit_mobile.families.trained_model import TrainedModel
    from shvit_mobile.images.image_set import ImageSet
    from shvit_mobile.pipeline.golden_images import GoldenSource
    from shvit_mobile.quantize.overrides import CalibratedRecipe


def load_trained_model(
    checkpoint: str | None,
    *,
    variant: str | None = None,
    labels: Path | None = None,
    size: str | None = None,
    crop: float | None = None,
    mean: ChannelValues | None = None,
    std: ChannelValues | None = None,
) -> TrainedModel:
    """The checkpoint, or the embedded demo model, with what the options say of its labels and its pictures."""
    if checkpoint is None and variant is not None:
        raise InvalidConfig(
            f"--model {variant} is given without --checkpoint.",
            why="It only says what a checkpoint must be.",
            hint=f"For the authors' weights: --checkpoint {variant}",
        )
    pixels = parse_image_size(size) if size is not None else None
    given: dict[str, Any] = {"size": pixels, "crop_ratio": crop, "mean": mean, "std": std}
    names = read_class_names(labels) if labels else None

    from shvit_mobile.families.checkpoints import load_checkpoint

    source = CHECKPOINT if checkpoint is None else checkpoint
    trained = load_checkpoint(source, variant=variant, labels=names)
    changed = {name: value for name, value in given.items() if value is not None}
    return replace(trained, preprocessing=replace(trained.preprocessing, **changed))


def parse_image_size(text: str) -> tuple[int, int]:
    """(height, width) of '224' or '192x160'."""
    match = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", text.strip(), re.ASCII)
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (height and width):
        raise InvalidConfig(
            f"--size is '{text}'.", why="It is one number of pixels, or height x width.", hint="Try: --size 192x160"
        )
    return height, width


def read_class_names(path: Path) -> list[str]:
    """The class names in a file: a JSON list, or one a line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as reason:
        raise InvalidConfig(f"{path} cannot be read: {reason.strerror}.", why="It should hold class names.") from None
    except UnicodeDecodeError:
        raise InvalidConfig(f"{path} is not text.", why="Class names: one a line, or a JSON list, in UTF-8.") from None
    names = parse_json_list(text, path) if text.lstrip().startswith(("[", "{")) else text.rstrip().splitlines()
    if not names:
        raise InvalidConfig(f"{path} is empty.", why="It should hold class names, one a line, or as a JSON list.")
    return [name.strip() for name in names]


def parse_json_list(text: str, path: Path) -> list[str]:
    try:
        names = json.loads(text)
    except (ValueError, RecursionError) as reason:
        raise InvalidConfig(
            f"{path} begins like JSON and is not: {reason}.", why="It should be a list of names."
        ) from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidConfig(f"{path} is JSON, but not a list of names.", hint='Write: ["cat", "dog"]')
    return names


def parse_targets(names: Iterable[str]) -> list[Target]:
    """The targets by name, each once; 'all' is all of them."""
    from shvit_mobile.contracts.manifest import TARGET_SUFFIXES

    known = {str(target): target for target in TARGET_SUFFIXES}
    wanted: dict[Target, None] = {}
    for name in names:
        if name != "all" and name not in known:
            raise UnknownChoice(name, [*known, "all"], "target")
        wanted |= dict.fromkeys(TARGET_SUFFIXES if name == "all" else [known[name]])
    if not wanted:
        raise InvalidConfig(
            "No target is given.", why=f"Targets: {', '.join(known)}, all.", hint="Try: --target coreml"
        )
    return list(wanted)


def build_gate(max_drop: float | None, min_agreement: float | None) -> Gate | None:
    """The gate, or None where no limit is given.

    Args:
        max_drop: points.
        min_agreement: percent; a share by mistake (0.985) would let everything pass, and is refused.
    """
    if max_drop is None and min_agreement is None:
        return None
    if min_agreement is not None and (not 0 <= min_agreement <= 100 or 0 < min_agreement <= 1):
        meant = f"Did you mean --min-agreement {100 * min_agreement:g}?" if 0 < min_agreement <= 1 else ""
        raise InvalidConfig(f"--min-agreement is {min_agreement:g}.", why="It is in percent, 0 to 100.", hint=meant)
    if max_drop is not None and not 0 <= max_drop <= 100:
        raise InvalidConfig(f"--max-drop is {max_drop:g}.", why="It is in points of top-1, 0 to 100.")

    from shvit_mobile.drift.gates import Gate

    return Gate(max_drop=max_drop, min_agreement=None if min_agreement is None else min_agreement / 100)


def parse_share(option: str, text: str) -> float:
    """The share, 0 to 1, of '100%' or '97.5'."""
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?)\s*%?", text.strip(), re.ASCII)
    if not match or float(match[1]) > 100:
        raise InvalidConfig(f"{option} is '{text}'.", why="It is in percent, 0 to 100.", hint=f"Try: {option} 100%")
    return float(match[1]) / 100


def parse_precisions(names: Iterable[str]) -> list[Precision]:
    """The precisions by name, each once."""
    from shvit_mobile.contracts.recipe import parse_precision

    return list(dict.fromkeys(parse_precision(name) for name in names))


def choose_observer(name: str | None, images: int) -> ObserverName:
    """The observer by name; where none is named, by how many images it will see.

    What cuts off outliers has to know which values are outliers, and a few images do not tell.
    """
    from shvit_mobile.contracts.recipe import OBSERVERS
    from shvit_mobile.quantize.calibrate import MIN_IMAGES_WITHOUT_VARIANTS

    if name is None:
        return "mse" if images >= MIN_IMAGES_WITHOUT_VARIANTS else "min-max"
    return parse_choice(name, OBSERVERS, "observer")


def parse_activations(name: str) -> ActivationScheme:
    from shvit_mobile.contracts.recipe import ACTIVATION_SCHEMES

    return parse_choice(name, ACTIVATION_SCHEMES, "activation scheme")


def load_golden_pictures(folder: Path | None) -> tuple[GoldenSource, ...] | None:
    """Up to four pictures of a folder, for goldens; None where none is given."""
    if folder is None:
        return None

    from shvit_mobile.images.image_set import open_images
    from shvit_mobile.pipeline.golden_images import select_golden_images

    return select_golden_images(open_images(folder))


def build_target_options(
    targets: Sequence[Target], given: Mapping[Target, Mapping[str, tuple[str, Any]]]
) -> dict[Target, Any]:
    """The options object of each target that was given some.

    Args:
        targets: those to export to.
        given: by target and name of the field, the option as it is typed and its value; None is not given.
    """
    from shvit_mobile.pipeline.lower import TARGET_MODULES

    made = {}
    for target, fields in given.items():
        values = {name: value for name, (_, value) in fields.items() if value is not None}
        typed = [option for option, value in fields.values() if value is not None]
        if values and target not in targets:
            raise InvalidConfig(
                f"{typed[0]} is given without --target {target}.", why=f"It says how {target} artifacts are made."
            )
        if values:
            module, options = TARGET_MODULES[target]
            made[target] = getattr(import_module(module), options)(**values)
    return made


def parse_passes(names: list[str] | None) -> tuple[PTQPassName, ...]:
    """The steps by name, in the order in which they are tried; all of them where none is named."""
    from shvit_mobile.contracts.recipe import PTQ_PASSES

    if names is None:
        return PTQ_PASSES
    for name in names:
        parse_choice(name, [*PTQ_PASSES, "none"], "PTQ pass")
    if "none" in names and len(names) > 1:
        raise InvalidConfig("--step none is given with other steps.", why="It means plain int8, without any.")
    return tuple(step for step in PTQ_PASSES if step in names)


def read_recipe(path: Path | None, excluded: Mapping[str, object]) -> CalibratedRecipe | None:
    """The recipe in a file, which leaves nothing for the `excluded` options to say."""
    if path is None:
        return None
    for option, value in excluded.items():
        if value not in (None, []):
            raise InvalidConfig(
                f"--recipe and {option} exclude each other: choose one.",
                why="A recipe holds the precision and the ranges that calibration would measure.",
            )

    from shvit_mobile.quantize.overrides import load_recipe

    return load_recipe(path)


def open_calibration_images(sampling: Mapping[str, Any], *, needed: bool, demo: bool) -> ImageSet | None:
    """The images that int8 is calibrated on; for the demo model its own, where no others are given.

    Args:
        sampling: --calibration and the options that only matter with it.
        needed: whether anything will be calibrated.
        demo: whether the embedded demo model is exported.
    """
    typed = [option for option, value in sampling.items() if value is not None]
    if typed and not needed:
        raise InvalidConfig(
            f"{typed[0]} is given, but nothing is calibrated.",
            why="Only int8 is: its ranges are measured on images.",
            hint="Add --quantize int8",
        )
    if not needed:
        return None
    folder = sampling["--calibration"] or (CALIBRATION_IMAGES if demo else None)
    if folder is None:
        raise InvalidConfig(
            "--quantize int8 needs --calibration.",
            why="Static int8 fixes the range of every activation in advance; it is measured on real images.",
            hint="Add --calibration DIR with a hundred or more images like those the app will see.",
        )

    from shvit_mobile.images.image_set import open_images

    return open_images(folder)


def open_comparison_images(
    folder: Path,
    csv: Path | None,
    labels: Sequence[str],
    gate: Gate | None,
    *,
    count: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """The images to compare on, which have labels if the gate asks for top-1."""
    from shvit_mobile.images.image_set import open_images

    images = open_images(folder, labels=labels, csv=csv)
    if gate and gate.max_drop is not None and images.labels is None:
        raise InvalidConfig(
            f"--max-drop is given, but the images in {folder} have no labels.",
            why="Without labels nobody knows which answers are right.",
            hint="Put them in a folder for each class, add --labels-csv FILE, or use --min-agreement.",
        )
    return images if count is None or count >= len(images) else images.sample(count, seed)


def check_validation(folder: Path | None, gate: Gate | None, options: Mapping[str, object]) -> None:
    """Raises `InvalidConfig` for a gate, or for options about images, where there are no images to compare on."""
    if folder is not None:
        return
    for option, value in options.items():
        if value is not None:
            raise InvalidConfig(f"{option} is given without --validate.", hint="Add --validate DIR.")
    if gate:
        raise InvalidConfig(
            "A gate is given without --validate.",
            why="Drift is measured on images.",
            hint="Add --validate DIR with images, in a folder for each class.",
        )


def check_output_files(*files: Path | None, overwrite: bool) -> None:
    """Raises where one of the `files` to write could not be written; to be asked before the work begins.

    Raises:
        OutputExists: it is there, and `overwrite` is not asked for; or it is a folder.
        InvalidConfig: it lies where nothing can be written.
    """
    from shvit_mobile.contracts.outputs import check_overwrite

    for file in files:
        if file is None:
            continue
        check_output_folder(file.parent)
        check_overwrite(file, overwrite=overwrite)


def check_output_folder(folder: Path) -> None:
    """Raises `InvalidConfig` where nothing can be written into `folder`."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InvalidConfig(f"--out is {folder}, but {there} is a file.", hint="Choose another folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InvalidConfig(f"--out is {folder}, but {there} cannot be written to.", hint="Choose another folder.")
