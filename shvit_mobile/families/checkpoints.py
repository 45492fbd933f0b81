"""Loading of checkpoints in any of three layouts, and saving in this project's own layout.

Checkpoints are recognized by content: the container by its first bytes, the model by the names and shapes of the
tensors, wherever they are in the file.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from shvit_mobile.contracts.manifest import Task
from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import (
    BadCheckpoint,
    ConflictingParameters,
    InvalidValue,
    NotSupported,
    OutputExists,
    parse_choice,
)
from shvit_mobile.families.containers import format_faults, split_safetensors
from shvit_mobile.families.detectors import load_detector
from shvit_mobile.families.discover import (
    Candidate,
    Inventory,
    choose_model,
    complete_head,
    find_candidates,
    shorten_name,
    take_inventory,
)
from shvit_mobile.families.family import Family
from shvit_mobile.families.locate import CheckpointBytes, CheckpointFile, locate_checkpoint, read_checkpoint
from shvit_mobile.families.metadata import (
    CheckpointDescription,
    build_checkpoint_metadata,
    check_labels,
    has_shvit_mobile_metadata,
    is_of_another_model,
    parse_checkpoint_metadata,
    read_architectures,
    read_hub_config,
)
from shvit_mobile.families.misfits import (
    build_empty_error,
    build_incomplete_model_error,
    build_wrong_variant_error,
)
from shvit_mobile.families.shvit import NATIVE_SIZES, VARIANTS, SHViT, SHViTConfig
from shvit_mobile.families.shvit_config import (
    adapt_variant,
    find_contradictions,
    find_variant,
    fit_config,
)
from shvit_mobile.families.shvit_family import SHVIT
from shvit_mobile.families.timm_family import TIMM, TIMM_PREFIX, build_timm_model, find_timm_models, is_timm_model
from shvit_mobile.families.trained_model import (
    CheckpointDialect,
    TrainedModel,
    build_features,
    override_preprocessing,
)
from shvit_mobile.families.training_args import (
    TrainingArguments,
    complete_preprocessing,
    parse_text_metadata,
    read_training_arguments,
)
from shvit_mobile.families.weights import check_claims, convert_tensors
from shvit_mobile.images.accounting import replace_invalid_utf8

# Counters of BatchNorm, which inference does not use.
_COUNTERS = "num_batches_tracked"
# Training programs keep their arguments near the top of a file.
_MAX_ARGUMENT_DEPTH = 2


def load_checkpoint(
    source: AnyPath,
    *,
    variant: str | None = None,
    labels: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    weights: str | None = None,
    sha256: str | None = None,
    task: Task = "classify",
) -> TrainedModel:
    """Load the trained model in a checkpoint of SHViT's authors, of timm, of this project or of a training program.

    A SHViT is recognized by its tensors. Another model of timm is recognized by the name of its architecture, in the
    config.json beside it or in the training arguments of the file; `variant` names it otherwise.

    Args:
        source: A file, a folder with a model and its config.json, the index of several files, an https address
            ("https://example.org/shvit.pth#sha256=..."), an id on the model hub ("timm/shvit_s1.in1k",
            "hf-hub:timm/shvit_s1.in1k"), or a variant of the authors' release ("shvit_s1"). Existing files come first.
        variant: The expected variant of SHViT (default: any), or "timm:" and timm's name of another model
            ("timm:repvit_m0_9").
        labels: A name for each class (default: those in the checkpoint, or "class 0", "class 1" and so on).
        preprocessing: The preprocessing of the model (default: that of the checkpoint; or that of SHViT's training: the
            variant's native size, crop ratio 0.875, bicubic, ImageNet's mean and std; or that of timm's configuration).
        weights: Which of several models in the file: the keys that lead to it, "model_ema" (default: the first that is
            not an average or a copy; a note tells which).
        sha256: The SHA-256 that the file must have; an https address needs it.
        task: "classify", or "features" for the map of each stage: then a checkpoint needs no classifier, such as one of
            a detector in the authors' layout, with `backbone.` before the names and a neck and heads beside it.
            "detect" for the raw maps of a detector: see `load_detector`.

    Returns:
        A float32 model on the CPU in eval mode, and notes on what was recognized, ignored and assumed. A model with one
        logit gets two, whose softmax is the sigmoid of the one. No code from the file is executed.

    Raises:
        BadCheckpoint: If the file is missing, damaged, contradictory, not of a SHViT or not of `variant`.
        HubUnavailable: If a download is necessary and fails.
        MissingParameter: If an https address comes without a SHA-256.
        UnknownChoice: If `variant` is not one of `VARIANTS`.
        ToolMissing: If it is a model of timm, and timm is not installed.
        InvalidValue: If timm has no such model, or there is not one label for each class.
    """
    if task == "detect":
        return _load_detector(source, variant, labels, preprocessing, weights, sha256)
    architecture = variant.removeprefix(TIMM_PREFIX) if variant and variant.startswith(TIMM_PREFIX) else None
    if architecture in VARIANTS:
        variant, architecture = architecture, None
    if variant is not None and architecture is None:
        parse_choice(variant, VARIANTS, "variant")
    file = locate_checkpoint(source, sha256)
    read = read_checkpoint(file, sha256)
    name = file.display_name
    own = _parse_own_metadata(read, name)
    inventory = take_inventory(read.contents.payload, name)
    if not inventory.tensors:
        raise build_empty_error(inventory, name)
    arguments = TrainingArguments() if own else _read_arguments(inventory, read.contents.metadata)
    if own and own.architecture is not None and variant is None:
        architecture = own.architecture
    if architecture is None and own is None and variant is None:
        stated = _find_stated_architecture(file, inventory)
        architecture = None if stated is None or _contains_shvit(inventory, name) else stated
    if architecture is None:
        found = _load_shvit(inventory, read.size, weights, variant, own, name, task)
    else:
        found = _load_timm(inventory, read.size, weights, architecture, name)
    classes, variant = found.classes, found.variant
    notes = [*found.notes, *_list_contradictions(arguments, classes, variant)]
    if (
        found.family is TIMM
        and own is None
        and (other := _find_stated_architecture(file, inventory)) != variant
        and other
    ):
        notes.append(f"The checkpoint names {other}, but the tensors are of {variant}.")
    default, more_notes = complete_preprocessing(found.preprocessing, arguments)
    description, config_notes = own or CheckpointDescription(), list[str]()
    if file.config and not own and (labels is None or preprocessing is None):
        description, config_notes = _read_config(file, variant, classes, default, arguments)
    stored_labels, label_notes = _choose_stored_labels(description.labels, arguments, classes)
    model = found.model
    if isinstance(model, SHViT) and classes == 1:
        model, stored_labels, classes = _split_single_logit(model), _name_two_classes(stored_labels), 2
        label_notes.append(
            "The model has one logit z. It gets two, -z/2 and z/2: with softmax, the second class has the sigmoid of z."
        )
    trained = TrainedModel(
        model=model,
        family=found.family,
        variant=variant,
        dialect="shvit-mobile" if own else found.layout,
        labels=_choose_class_names(labels, stored_labels, classes, name),
        preprocessing=description.preprocessing or default,
        source=replace_invalid_utf8(f"{file.source}#{found.weights}" if len(found.names) > 1 else file.source),
        # Another model of the file is another checkpoint to everything that compares or caches by this.
        sha256=read.sha256 if found.weights == found.names[0] else _hash_text(f"{read.sha256}#{found.weights}"),
        notes=(*file.notes, *notes, *more_notes, *config_notes, *label_notes),
        weights=found.weights,
        weights_found=found.names,
        training_arguments=arguments.stated,
        stated=description.stated | arguments.values.keys() & vars(default).keys(),
    )
    if preprocessing is not None:
        trained = override_preprocessing(trained, vars(preprocessing))
    return build_features(trained) if task == "features" else trained


def _load_detector(
    source: AnyPath,
    variant: str | None,
    labels: Sequence[str] | None,
    preprocessing: Preprocessing | None,
    weights: str | None,
    sha256: str | None,
) -> TrainedModel:
    """Load a detector; arguments and errors as for `load_checkpoint`."""
    for name, given in (("variant", variant), ("weights", weights)):
        if given is not None:
            raise ConflictingParameters(
                f"`{name}` is given for the task detect.",
                why="A detector is recognized by its tensors, and a file has one.",
                parameter=name,
            )
    trained = load_detector(source, sha256=sha256)
    if labels is not None:
        trained = replace(trained, labels=check_labels(labels, trained.classes, InvalidValue, "There are"))
    return trained if preprocessing is None else override_preprocessing(trained, vars(preprocessing))


@dataclass(frozen=True)
class _FoundModel:
    """A model that was built from the tensors of a checkpoint.

    Attributes:
        weights: The keys that lead to its tensors in the file.
        names: The same for all different models in the file.
        preprocessing: What its kind is trained with.
    """

    model: nn.Module
    family: Family
    variant: str
    layout: CheckpointDialect
    classes: int
    weights: str
    names: tuple[str, ...]
    preprocessing: Preprocessing
    notes: tuple[str, ...]


def _load_shvit(
    inventory: Inventory,
    size: int,
    weights: str | None,
    variant: str | None,
    own: CheckpointDescription | None,
    name: str,
    task: Task,
) -> _FoundModel:
    """Build the SHViT in a checkpoint; arguments and errors as for `load_checkpoint`."""
    chosen, names, notes = _choose_candidate(inventory, size, weights, variant, name, task)
    model = build_model(chosen, convert_tensors(chosen, name), own.config if own else None, variant, name)
    variant = find_variant(model.config)
    return _FoundModel(
        model=model,
        family=SHVIT,
        variant=variant,
        layout=chosen.layout,
        classes=0 if chosen.lacks_head else model.config.classes,
        weights=shorten_name(chosen.name),
        names=names,
        preprocessing=Preprocessing(size=(NATIVE_SIZES.get(variant, 224),) * 2),
        notes=tuple(notes),
    )


def _load_timm(inventory: Inventory, size: int, weights: str | None, architecture: str, name: str) -> _FoundModel:
    """Build the model of timm in a checkpoint; arguments and errors as for `load_checkpoint`."""
    complete = find_timm_models(architecture, inventory.tensors, name)
    for model in complete:
        check_claims(model, size, name)
    chosen, names, notes = choose_model(complete, inventory, weights, name)
    built = build_timm_model(architecture, chosen, name)
    return _FoundModel(
        model=built.model,
        family=TIMM,
        variant=architecture,
        layout="timm",
        classes=built.classes,
        weights=shorten_name(chosen.name),
        names=names,
        preprocessing=built.preprocessing,
        notes=tuple(notes),
    )


def _contains_shvit(inventory: Inventory, name: str) -> bool:
    return any(candidate.is_complete for candidate in find_candidates(inventory.tensors, name))


def _find_stated_architecture(file: CheckpointFile, inventory: Inventory) -> str | None:
    """Return the model of timm that a checkpoint names, in its config.json or in its training arguments."""
    stated = [] if file.config is None else read_architectures(file.config)
    for path, mapping in inventory.mappings:
        if path.count(".") < _MAX_ARGUMENT_DEPTH:
            stated += [mapping[key] for key in ("model", "arch", "architecture", "model_name") if key in mapping]
    names = dict.fromkeys(one.partition(".")[0] for one in stated if isinstance(one, str) and one.isprintable())
    others = [one for one in names if one and "shvit" not in one]
    return next((one for one in others if is_timm_model(one)), None) if others else None


def save_checkpoint(
    trained: TrainedModel, path: AnyPath, *, dtype: torch.dtype = torch.float32, overwrite: bool = False
) -> None:
    """Save a SHViT or a model of timm as safetensors with timm's names, labels, preprocessing and checksum.

    Args:
        trained: The model.
        path: The file; it is written whole or not at all.
        dtype: torch.float32 or torch.float16, for kernels and matrices. Norms and biases (1% of the bytes) stay float32
            because running variances exceed the range of float16.
        overwrite: Replace an existing file.

    Raises:
        OutputExists: If a file exists and `overwrite` is not set, or `path` is a folder.
        NotSupported: If the model is of no family that `load_checkpoint` knows.
        InvalidValue: If `dtype` is another one, a weight exceeds its range, or there is not one label for each class.
    """
    path = Path(path)
    if dtype not in (torch.float32, torch.float16):
        raise InvalidValue(f"`dtype` is {dtype}.", why="It is torch.float32 or torch.float16.", parameter="dtype")
    if path.is_dir():
        raise OutputExists(
            f"{path} is a folder.", why="A checkpoint is one file.", hint=f"Try: {path / 'model.safetensors'}"
        )
    if trained.family not in (SHVIT, TIMM):
        raise NotSupported(
            f"{trained.variant} cannot be saved as a checkpoint of shvit-mobile.",
            why="Its file holds weights, and names the SHViT or the model of timm that they belong to.",
            hint="Save model.state_dict() with safetensors.",
        )
    config = trained.model.config if isinstance(trained.model, SHViT) else None
    classes = trained.classes if config is None else config.classes
    labels = check_labels(trained.labels, classes, InvalidValue, "There are")
    state = {name: _prepare_for_saving(name, tensor, dtype) for name, tensor in trained.model.state_dict().items()}
    header, tensor_bytes = split_safetensors(safetensors.torch.save(state))
    metadata = build_checkpoint_metadata(config, trained.variant, labels, trained.preprocessing, header, tensor_bytes)
    with write_atomically(path, overwrite=overwrite) as (part,):
        part.write_bytes(safetensors.torch.save(state, metadata))


def _hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _parse_own_metadata(read: CheckpointBytes, name: str) -> CheckpointDescription | None:
    """Return what this project's metadata says; None if the file has none."""
    if not has_shvit_mobile_metadata(read.contents.metadata):
        return None
    return parse_checkpoint_metadata(read.contents.metadata, *split_safetensors(read.data), name)


def _read_arguments(inventory: Inventory, metadata: Mapping[str, str]) -> TrainingArguments:
    """Read the training arguments beside the tensors, or in the metadata of safetensors, flat or nested."""
    texts = parse_text_metadata(metadata)
    nested = [(f"metadata.{key}", value) for key, value in texts.items() if isinstance(value, dict)]
    return read_training_arguments([*inventory.mappings, ("metadata", texts), *nested])


def _choose_candidate(
    inventory: Inventory, size: int, weights: str | None, variant: str | None, name: str, task: Task
) -> tuple[Candidate, tuple[str, ...], list[str]]:
    """Return the SHViT to load, the names of all different ones in the file, and notes.

    Raises:
        BadCheckpoint: If the file contains no complete SHViT, or none of the name `weights`.
    """
    candidates = find_candidates(inventory.tensors, name)
    usable = [complete_head(candidate) for candidate in candidates] if task == "features" else candidates
    complete = [candidate for candidate in usable if candidate.is_complete]
    if not complete:
        raise build_incomplete_model_error(candidates, inventory, size, variant, name)
    for candidate in complete:
        check_claims(candidate, size, name)
    return choose_model(complete, inventory, weights, name)


def build_model(
    candidate: Candidate,
    tensors: dict[str, Tensor],
    declared_config: SHViTConfig | None,
    variant: str | None,
    display_name: str,
) -> SHViT:
    """Build the SHViT of a complete candidate.

    Args:
        candidate: The model that was found.
        tensors: Its tensors by timm's names, float32, on the CPU.
        declared_config: The configuration in the checkpoint's metadata, if any.
        variant: The expected variant, if any.
        display_name: The file's name in errors.

    Raises:
        BadCheckpoint: If the tensors are not of `variant` or of the declared configuration, or not of color images.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if candidate.fit is None:
        raise ValueError(f"{candidate.name} is not complete")
    inferred = candidate.fit.config
    if inferred.in_channels != 3:
        raise BadCheckpoint(
            f"{display_name} takes images with {inferred.in_channels} "
            f"channel{'s' if inferred.in_channels > 1 else ''}: patch_embed.0.c.weight is "
            f"{shapes['patch_embed.0.c.weight']}.",
            why="Only models of color images are supported, which have 3 channels.",
        )
    if variant is not None:
        wanted = fit_config(shapes, adapt_variant(variant, shapes), candidate.rename)
        if wanted.misfits:
            raise build_wrong_variant_error(variant, wanted, candidate.fit, display_name)
        return _create_model_from_tensors(wanted.config, tensors)
    if declared_config is not None and (faults := find_contradictions(shapes, declared_config, inferred)):
        raise BadCheckpoint(
            f"The metadata of {display_name} does not fit its tensors: {format_faults(faults)}.",
            why="The metadata is damaged or was edited by hand.",
        )
    return _create_model_from_tensors(declared_config or inferred, tensors)


def _create_model_from_tensors(config: SHViTConfig, tensors: dict[str, Tensor]) -> SHViT:
    """Create a SHViT in eval mode that owns the tensors, without initializing random weights first."""
    with torch.device("meta"):
        model = SHViT(config)
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def _split_single_logit(model: SHViT) -> SHViT:
    """Return a model with the logits -z/2 and z/2 of a model with one logit z."""
    tensors = {
        name: torch.cat([-tensor / 2, tensor / 2]) if name.endswith((".l.weight", ".l.bias")) else tensor
        for name, tensor in model.state_dict().items()
    }
    return _create_model_from_tensors(replace(model.config, classes=2), tensors)


def _name_two_classes(labels: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return two labels for a model with one logit, from the label of its class."""
    return (f"not {labels[0]}", labels[0]) if labels is not None and len(labels) == 1 else labels


def _list_contradictions(arguments: TrainingArguments, classes: int, variant: str) -> list[str]:
    """Return notes on training arguments that contradict the tensors, which count."""
    actual = {"classes": classes, "variant": variant} if classes else {"variant": variant}
    names = {"classes": "the classifier has {} classes", "variant": "the tensors are of {}"}
    return [
        f"The training arguments name {arguments.values[key]}{' classes' if key == 'classes' else ''}, "
        f"but {names[key].format(value)}."
        for key, value in actual.items()
        if arguments.values.get(key, value) != value and value != "custom"
    ]


def _read_config(
    file: CheckpointFile, variant: str, classes: int, default: Preprocessing, arguments: TrainingArguments
) -> tuple[CheckpointDescription, list[str]]:
    """Read the config.json of a checkpoint, and note where the training arguments contradict it."""
    if file.config is None:
        return CheckpointDescription(), []
    if not file.belongs and is_of_another_model(file.config, variant, classes):
        return CheckpointDescription(), [f"{file.config} is not used: it is not of this model."]
    description = read_hub_config(file.config, file.display_name, default)
    stated: dict[str, Any] = vars(description.preprocessing) if description.preprocessing else {}
    notes = [
        *description.notes,
        *(
            f"The training arguments say {key} {value}, but {file.config.name} says {stated[key]}; the latter is used."
            for key, value in arguments.values.items()
            if key in description.stated and stated[key] != value
        ),
    ]
    return description, notes


def _choose_stored_labels(
    labels: tuple[str, ...] | None, arguments: TrainingArguments, classes: int
) -> tuple[tuple[str, ...] | None, list[str]]:
    """Return the labels of the description, or those of the training arguments if their number fits."""
    named = arguments.values.get("labels")
    if labels is not None or named is None or not classes:
        return labels, []
    if len(named) == classes or (classes == 1 and len(named) == 2):
        return named, []
    return None, [
        f"The training arguments name {len(named)} classes, but the classifier has {classes}; no name is used."
    ]


def _choose_class_names(
    given: Sequence[str] | None, stored_labels: tuple[str, ...] | None, classes: int, display_name: str
) -> tuple[str, ...]:
    """Return the given labels, those of the checkpoint, or generic ones."""
    if given is not None:
        return check_labels(given, classes, InvalidValue, "There are")
    if stored_labels is not None:
        return check_labels(stored_labels, classes, BadCheckpoint, f"{display_name} has")
    return tuple(f"class {index}" for index in range(classes))


def _prepare_for_saving(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert a tensor for saving; kernels and matrices become `dtype`."""
    if not tensor.is_floating_point():
        return tensor.detach().cpu()
    kept = tensor.detach().cpu().to(dtype if tensor.ndim > 1 else torch.float32).contiguous()
    if not kept.isfinite().all():
        raise InvalidValue(
            f"{name} cannot be saved as {str(dtype).removeprefix('torch.')}.",
            why=f"Its largest value is {float(tensor.abs().max()):.3g}.",
            hint="Set `dtype` to torch.float32.",
            parameter="dtype",
        )
    return kept
