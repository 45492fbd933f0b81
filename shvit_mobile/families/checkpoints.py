"""From a checkpoint in any of the three layouts to a trained model, and from a trained model to our own layout.

Nothing about the file has to be said: its container is told by its first bytes, its layout by its tensors' names, and
the SHViT by their shapes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.contracts.paths import AnyPath
from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.errors import BadCheckpoint, InvalidConfig, OutputExists, UnknownChoice
from shvit_mobile.families.containers import FLOAT_DTYPES, MAX_CHECKPOINT_BYTES, format_first_few, parse_checkpoint_file
from shvit_mobile.families.hub import HUB_ID, OFFICIAL_RELEASE, fetch_hub_files, fetch_official_checkpoint
from shvit_mobile.families.layouts import CheckpointLayout, detect_layouts, from_timm_key, to_timm_key
from shvit_mobile.families.metadata import (
    CheckpointDescription,
    build_checkpoint_metadata,
    check_labels,
    has_shvit_mobile_metadata,
    parse_checkpoint_metadata,
    read_hub_config,
)
from shvit_mobile.families.shvit import NATIVE_SIZES, VARIANTS, SHViT, SHViTConfig
from shvit_mobile.families.shvit_config import (
    ConfigFit,
    adapt_variant,
    find_contradictions,
    find_nearest_variant,
    find_variant,
    fit_config,
    infer_config,
)
from shvit_mobile.families.trained_model import CheckpointDialect, TrainedModel

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".safetensors")
POINTWISE_WEIGHT_KEY = re.compile(r".*\.(c|fc1|fc2)\.weight", re.DOTALL)
SOURCE_FORMS = (
    "A source is the path of a .pth or .safetensors file, a hub id such as timm/shvit_s1.in1k, "
    f"or a variant to take from the authors' release: {', '.join(OFFICIAL_RELEASE)}."
)


def load_checkpoint(
    source: AnyPath,
    *,
    variant: str | None = None,
    labels: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> TrainedModel:
    """The trained model in a checkpoint of the authors, of timm or of ours; which of them, and which SHViT, it tells.

    Args:
        source: a file; or an id on the model hub ("timm/shvit_s1.in1k", "hf-hub:timm/shvit_s1.in1k"); or the name of a
            variant ("shvit_s1"), for the authors' release. What exists as a path is a path.
        variant: the variant that it must be; found out where it is not given.
        labels: a name for each class; else the checkpoint's own, else "class 0", "class 1" and so on.
        preprocessing: how the model expects its pictures; else as the checkpoint says, else as SHViT was trained: the
            variant's native size, crop ratio 0.875, bicubic, ImageNet's mean and std.

    Returns:
        A float32 model on the CPU in eval mode; no code from the file was executed.

    Raises:
        BadCheckpoint: the file is missing, damaged, not a SHViT's or not the variant asked for, or says nonsense.
        HubUnavailable: it had to be downloaded and could not be.
        UnknownChoice: `variant` is not one of `VARIANTS`.
        InvalidConfig: `labels` are not one for each class.
    """
    if variant is not None and variant not in VARIANTS:
        raise UnknownChoice(variant, VARIANTS, "variant")
    found = locate_checkpoint(source)
    data = read_checkpoint_bytes(found.path)
    container = parse_checkpoint_file(data, found.display_name)
    layout = detect_layout(container.tensors, found.display_name)
    card = (
        parse_checkpoint_metadata(container.metadata, found.display_name)
        if has_shvit_mobile_metadata(container.metadata)
        else CheckpointDescription()
    )
    tensors = {to_timm_key(name): tensor for name, tensor in container.tensors.items()}
    model = build_model(restore_kernel_dimensions(tensors), layout, card.config, variant, found.display_name)
    name = find_variant(model.config)
    usual = Preprocessing(size=(NATIVE_SIZES.get(name, 224),) * 2)
    if found.config and not has_shvit_mobile_metadata(container.metadata) and (labels is None or preprocessing is None):
        card = read_hub_config(found.config, found.display_name, usual)
    return TrainedModel(
        model=model,
        variant=name,
        dialect=get_dialect(layout, has_own_metadata=has_shvit_mobile_metadata(container.metadata)),
        labels=choose_class_names(labels, card.labels, model.config.classes, found.display_name),
        preprocessing=preprocessing or card.preprocessing or usual,
        source=found.source,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def save_checkpoint(
    trained: TrainedModel, path: AnyPath, *, dtype: torch.dtype = torch.float32, overwrite: bool = False
) -> None:
    """Writes our own layout: safetensors under timm's names, with configuration, labels and preprocessing as metadata.

    Args:
        trained: what to write.
        path: the file, which appears whole or not at all.
        dtype: float32 or float16. Of the kernels and matrices; the norms and biases, a hundredth of the bytes, stay
            float32, for running variances leave the range of float16.
        overwrite: whether to replace a file that is there.

    Raises:
        OutputExists: a file is there and `overwrite` is not asked for, or a folder is there.
        InvalidConfig: another dtype, weights past the range of float16, or labels that are not one for each class.
    """
    path = Path(path)
    if dtype not in (torch.float32, torch.float16):
        raise InvalidConfig(f"dtype is {dtype}.", why="Checkpoints are written in torch.float32 or torch.float16.")
    if path.is_dir():
        raise OutputExists(
            f"{path} is a folder.", why="A checkpoint is one file.", hint=f"Try: {path / 'model.safetensors'}"
        )
    labels = check_labels(trained.labels, trained.model.config.classes, InvalidConfig, "There are")
    state = {name: prepare_for_saving(name, tensor, dtype) for name, tensor in trained.model.state_dict().items()}
    metadata = build_checkpoint_metadata(trained.model.config, trained.variant, labels, trained.preprocessing)
    with write_atomically(path, overwrite=overwrite) as (part,):
        part.write_bytes(safetensors.torch.save(state, metadata))


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint as a file here.

    Attributes:
        path: the file.
        shown: what errors call it: as the user gave it.
        source: what the trained model says of it: the file's name or the id.
        config: the config.json that came with it from the hub.
    """

    path: Path
    display_name: str
    source: str
    config: Path | None = None


def locate_checkpoint(source: AnyPath) -> CheckpointFile:
    """The file that a path, a hub id or the name of a variant leads to; a path goes before the others."""
    text = os.fspath(source)
    path = Path(os.path.expanduser(text))
    if text and os.path.lexists(path):
        return CheckpointFile(path, text, path.name)
    if text in OFFICIAL_RELEASE:
        return CheckpointFile(fetch_official_checkpoint(text), text, text)
    if path.suffix.lower() in CHECKPOINT_SUFFIXES or path.is_absolute():
        raise build_missing_file_error(path, text)
    if HUB_ID.fullmatch(text):
        files = fetch_hub_files(text)
        return CheckpointFile(files.weights, text, text, files.config)
    near = get_close_matches(text, [*OFFICIAL_RELEASE, *(f"timm/{name}.in1k" for name in OFFICIAL_RELEASE)], n=1)
    raise BadCheckpoint(
        f"'{text}' is neither a file nor the id of a model.",
        why=SOURCE_FORMS,
        hint=f"Did you mean {near[0]}?" if near else "",
    )


def build_missing_file_error(path: Path, text: str) -> BadCheckpoint:
    """The error for a file that is not there; names the one beside it whose name is nearest."""
    beside = os.listdir(path.parent) if path.parent.is_dir() and os.access(path.parent, os.R_OK) else []
    near = get_close_matches(path.name, beside, n=1)
    why = "" if path.parent.is_dir() else f"There is no folder {path.parent} either."
    return BadCheckpoint(
        f"There is no file {text}.", why=why, hint=f"Did you mean {path.parent / near[0]}?" if near else ""
    )


def read_checkpoint_bytes(path: Path) -> bytes:
    """The bytes of a regular file of a size that a checkpoint can have."""
    try:
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in CHECKPOINT_SUFFIXES)
            hint = f"Did you mean {inside[0]}?" if inside else "Give the file inside it."
            raise BadCheckpoint(f"{path} is a folder.", why="A checkpoint is one file.", hint=hint)
        if path.exists() and not path.is_file():
            raise BadCheckpoint(f"{path} is no regular file.", why="A checkpoint is read whole, and hashed.")
        size = path.stat().st_size
        if size > MAX_CHECKPOINT_BYTES:
            raise BadCheckpoint(
                f"{path} has {size / 1024**3:.1f} GiB.",
                why="The largest SHViT has a few hundred MB with all its training state.",
            )
        return path.read_bytes()
    except OSError as reason:
        raise BadCheckpoint(f"{path} cannot be read: {reason.strerror}.") from None


def detect_layout(tensors: dict[str, Tensor], display_name: str) -> CheckpointLayout:
    """The one layout that the tensors are named in."""
    layouts = detect_layouts(tensors)
    if len(layouts) == 1:
        return layouts.pop()
    if not layouts:
        raise build_unknown_model_error({name: tuple(tensor.shape) for name, tensor in tensors.items()}, display_name)
    firsts = [next(name for name in tensors if detect_layouts([name]) == {layout}) for layout in ("official", "timm")]
    raise BadCheckpoint(
        f"{display_name} mixes two layouts: {firsts[0]} is the authors', {firsts[1]} is timm's.",
        why="A checkpoint is in one layout or the other.",
    )


def get_dialect(layout: CheckpointLayout, *, has_own_metadata: bool) -> CheckpointDialect:
    return "shvit-mobile" if has_own_metadata else layout


def restore_kernel_dimensions(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, where weights of 1x1 convolutions that are stored as matrices have their two missing dimensions."""
    return {
        name: tensor[:, :, None, None] if tensor.ndim == 2 and POINTWISE_WEIGHT_KEY.fullmatch(name) else tensor
        for name, tensor in tensors.items()
    }


def build_model(
    tensors: dict[str, Tensor],
    layout: CheckpointLayout,
    declared_config: SHViTConfig | None,
    variant: str | None,
    display_name: str,
) -> SHViT:
    """The SHViT that the tensors, under our names, are all of.

    Args:
        tensors: float32, on the CPU.
        layout: whose names to use in errors.
        told: the configuration that the file gives of itself.
        variant: the variant that it must be, if one was asked for.
        shown: what errors call the file.

    Raises:
        BadCheckpoint: they are not, or are none of the variant asked for, or contradict what the file says of itself.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    named: Callable[[str], str] = partial(from_timm_key, layout=layout)
    read = infer_config(shapes)
    own = fit_config(shapes, read, named) if read else None
    if variant is not None:
        wanted = fit_config(shapes, adapt_variant(variant, shapes), named)
        if wanted.misfits:
            raise build_wrong_variant_error(variant, wanted, own, display_name)
        return create_model_from_tensors(wanted.config, tensors)
    if own is None or own.misfits:
        raise build_incomplete_model_error(own, shapes, named, display_name)
    if declared_config is not None and (wrong := find_contradictions(shapes, declared_config, own.config)):
        raise BadCheckpoint(
            f"{display_name} says of itself {format_first_few(wrong)}.",
            why="Its metadata is damaged or was made by hand.",
        )
    return create_model_from_tensors(declared_config or own.config, tensors)


def create_model_from_tensors(config: SHViTConfig, tensors: dict[str, Tensor]) -> SHViT:
    """A SHViT in eval mode that owns the tensors; made without drawing the random weights they would replace."""
    with torch.device("meta"):
        model = SHViT(config)
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def build_wrong_variant_error(
    requested: str, wanted: ConfigFit, inferred: ConfigFit | None, display_name: str
) -> BadCheckpoint:
    """The error for a checkpoint that is not of the variant asked for; says which it looks like."""
    why = hint = ""
    if inferred and not inferred.misfits:
        name = find_variant(inferred.config)
        if name in VARIANTS:
            why, hint = f"It looks like {name}.", f"Try: shvit-mobile export --model {name} --checkpoint {display_name}"
        else:
            why = f"It looks like a SHViT of its own kind, with dims {inferred.config.dims} and depths {inferred.config.depths}."
            hint = f"Try: shvit-mobile export --checkpoint {display_name}"
    return BadCheckpoint(f"{display_name} {describe_fit(requested, wanted)}", why=why, hint=hint)


def build_incomplete_model_error(
    inferred: ConfigFit | None, shapes: dict[str, tuple[int, ...]], rename: Callable[[str], str], display_name: str
) -> BadCheckpoint:
    """The error for tensors that make no SHViT; compares them with the one that they miss by the least."""
    name, nearest = find_nearest_variant(shapes, rename)
    if inferred and len(inferred.misfits) < len(nearest.misfits):
        name, nearest = find_variant(inferred.config), inferred
    if not nearest.fitting:
        return build_unknown_model_error(shapes, display_name)
    why = ""
    if "patch_embed.0.weight" in shapes or "patch_embed.0.c.bias" in shapes:
        why = "Its BatchNorms are folded into its convolutions already; the checkpoint as it was trained is needed."
    elif "head.l.weight" not in shapes:
        why = "It has no classifier, only features."
    return BadCheckpoint(f"{display_name} is no whole SHViT: it {describe_fit(name, nearest)}", why=why)


def describe_fit(name: str, found: ConfigFit) -> str:
    whole_name = "a SHViT of its shapes" if name not in VARIANTS else name
    return (
        f"holds {found.fitting} of the {found.expected} tensors of {whole_name}; "
        f"the first that do not fit: {format_first_few(list(found.misfits))}."
    )


def build_unknown_model_error(shapes: dict[str, tuple[int, ...]], display_name: str) -> BadCheckpoint:
    """The error for a checkpoint of some other network."""
    firsts = [f"{name} {shape}" for name, shape in list(shapes.items())[:3]]
    return BadCheckpoint(
        f"{display_name} is not a SHViT's: none of its {len(shapes)} tensors fits; the first are {', '.join(firsts)}.",
        why="A SHViT has patch_embed.0.c.weight, blocks1 to blocks3 (authors) or stages (timm), and head.l.weight.",
    )


def choose_class_names(
    given: Sequence[str] | None, stored_labels: tuple[str, ...] | None, classes: int, display_name: str
) -> tuple[str, ...]:
    """The labels: those given, else the checkpoint's own, else numbered ones."""
    if given is not None:
        return check_labels(given, classes, InvalidConfig, "There are")
    if stored_labels is not None:
        return check_labels(stored_labels, classes, BadCheckpoint, f"{display_name} gives")
    return tuple(f"class {index}" for index in range(classes))


def prepare_for_saving(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor as it is written; the kernels and matrices in `dtype`."""
    if tensor.dtype not in FLOAT_DTYPES:
        return tensor.detach().cpu()
    kept = tensor.detach().cpu().to(dtype if tensor.ndim > 1 else torch.float32).contiguous()
    if not kept.isfinite().all():
        raise InvalidConfig(
            f"{name} cannot be written as {str(dtype).removeprefix('torch.')}.",
            why=f"Its largest value is {float(tensor.abs().max()):.3g}.",
            hint="Write it as float32.",
        )
    return kept
