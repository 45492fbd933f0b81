"""Loading of checkpoints in any of three layouts, and saving in this project's own layout.

Checkpoints are recognized by content: the container by its first bytes, the layout by the names of the tensors, and the
SHViT by their shapes.
"""

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
from shvit_mobile.errors import BadCheckpoint, InvalidValue, OutputExists, parse_choice
from shvit_mobile.families.containers import FLOAT_DTYPES, MAX_CHECKPOINT_BYTES, format_faults, parse_checkpoint_file
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
from shvit_mobile.families.trained_model import TrainedModel

_CHECKPOINT_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".safetensors")
_POINTWISE_WEIGHT_KEY = re.compile(r".*\.(c|fc1|fc2)\.weight", re.DOTALL)
_SOURCE_FORMS = (
    "A source is the path of a .pth or .safetensors file, a hub id such as timm/shvit_s1.in1k, "
    f"or a variant of the authors' release: {', '.join(OFFICIAL_RELEASE)}."
)


def load_checkpoint(
    source: AnyPath,
    *,
    variant: str | None = None,
    labels: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> TrainedModel:
    """Load the trained model in a checkpoint of SHViT's authors, of timm or of this project.

    Args:
        source: A file, an id on the model hub ("timm/shvit_s1.in1k", "hf-hub:timm/shvit_s1.in1k"), or a variant of the
            authors' release ("shvit_s1"). Existing files come first.
        variant: The expected variant (default: any).
        labels: A name for each class (default: those in the checkpoint, or "class 0", "class 1" and so on).
        preprocessing: The preprocessing of the model (default: that of the checkpoint, or that of SHViT's training: the
            variant's native size, crop ratio 0.875, bicubic, ImageNet's mean and std).

    Returns:
        A float32 model on the CPU in eval mode. No code from the file is executed.

    Raises:
        BadCheckpoint: If the file is missing, damaged, contradictory, not of a SHViT or not of `variant`.
        HubUnavailable: If a download is necessary and fails.
        UnknownChoice: If `variant` is not one of `VARIANTS`.
        InvalidValue: If there is not one label for each class.
    """
    if variant is not None:
        parse_choice(variant, VARIANTS, "variant")
    file = _locate_checkpoint(source)
    data = _read_checkpoint_bytes(file.path)
    contents = parse_checkpoint_file(data, file.display_name)
    layout = _detect_layout(contents.tensors, file.display_name)
    is_own = has_shvit_mobile_metadata(contents.metadata)
    description = parse_checkpoint_metadata(contents.metadata, file.display_name) if is_own else CheckpointDescription()
    tensors = {to_timm_key(name): tensor for name, tensor in contents.tensors.items()}
    model = build_model(_restore_kernel_dimensions(tensors), layout, description.config, variant, file.display_name)
    name = find_variant(model.config)
    default = Preprocessing(size=(NATIVE_SIZES.get(name, 224),) * 2)
    if file.config and not is_own and (labels is None or preprocessing is None):
        description = read_hub_config(file.config, file.display_name, default)
    return TrainedModel(
        model=model,
        variant=name,
        dialect="shvit-mobile" if is_own else layout,
        labels=_choose_class_names(labels, description.labels, model.config.classes, file.display_name),
        preprocessing=preprocessing or description.preprocessing or default,
        source=file.source,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def save_checkpoint(
    trained: TrainedModel, path: AnyPath, *, dtype: torch.dtype = torch.float32, overwrite: bool = False
) -> None:
    """Save a model as safetensors with timm's names, and its configuration, labels and preprocessing as metadata.

    Args:
        trained: The model.
        path: The file; it is written whole or not at all.
        dtype: torch.float32 or torch.float16, for kernels and matrices. Norms and biases (1% of the bytes) stay float32
            because running variances exceed the range of float16.
        overwrite: Replace an existing file.

    Raises:
        OutputExists: If a file exists and `overwrite` is not set, or `path` is a folder.
        InvalidValue: If `dtype` is another one, a weight exceeds its range, or there is not one label for each class.
    """
    path = Path(path)
    if dtype not in (torch.float32, torch.float16):
        raise InvalidValue(f"`dtype` is {dtype}.", why="It is torch.float32 or torch.float16.", parameter="dtype")
    if path.is_dir():
        raise OutputExists(
            f"{path} is a folder.", why="A checkpoint is one file.", hint=f"Try: {path / 'model.safetensors'}"
        )
    labels = check_labels(trained.labels, trained.model.config.classes, InvalidValue, "There are")
    state = {name: _prepare_for_saving(name, tensor, dtype) for name, tensor in trained.model.state_dict().items()}
    metadata = build_checkpoint_metadata(trained.model.config, trained.variant, labels, trained.preprocessing)
    with write_atomically(path, overwrite=overwrite) as (part,):
        part.write_bytes(safetensors.torch.save(state, metadata))


@dataclass(frozen=True)
class _CheckpointFile:
    """A checkpoint on this machine.

    Attributes:
        path: The file.
        display_name: Its name in errors: the source as the user typed it.
        source: Its name in the trained model: the file name or the id.
        config: The config.json beside it on the hub.
    """

    path: Path
    display_name: str
    source: str
    config: Path | None = None


def _locate_checkpoint(source: AnyPath) -> _CheckpointFile:
    """Find the file of a path, a hub id or a variant, in this order; download it if necessary."""
    text = os.fspath(source)
    path = Path(os.path.expanduser(text))
    if text and os.path.lexists(path):
        return _CheckpointFile(path, text, path.name)
    if text in OFFICIAL_RELEASE:
        return _CheckpointFile(fetch_official_checkpoint(text), text, text)
    if path.suffix.lower() in _CHECKPOINT_SUFFIXES or path.is_absolute():
        raise _build_missing_file_error(path, text)
    if HUB_ID.fullmatch(text):
        files = fetch_hub_files(text)
        return _CheckpointFile(files.weights, text, text, files.config)
    near = get_close_matches(text, [*OFFICIAL_RELEASE, *(f"timm/{name}.in1k" for name in OFFICIAL_RELEASE)], n=1)
    raise BadCheckpoint(
        f"'{text}' is neither a file nor the id of a model.",
        why=_SOURCE_FORMS,
        hint=f"Did you mean {near[0]}?" if near else "",
    )


def _build_missing_file_error(path: Path, text: str) -> BadCheckpoint:
    """Return the error for a missing file, with the closest name in its folder."""
    siblings = os.listdir(path.parent) if path.parent.is_dir() and os.access(path.parent, os.R_OK) else []
    near = get_close_matches(path.name, siblings, n=1)
    why = "" if path.parent.is_dir() else f"The folder {path.parent} does not exist either."
    return BadCheckpoint(
        f"There is no file {text}.", why=why, hint=f"Did you mean {path.parent / near[0]}?" if near else ""
    )


def _read_checkpoint_bytes(path: Path) -> bytes:
    """Read a regular file of the size of a checkpoint."""
    try:
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in _CHECKPOINT_SUFFIXES)
            hint = f"Did you mean {inside[0]}?" if inside else "Pass the file inside it."
            raise BadCheckpoint(f"{path} is a folder.", why="A checkpoint is one file.", hint=hint)
        if path.exists() and not path.is_file():
            raise BadCheckpoint(f"{path} is not a regular file.", why="A checkpoint is one file.")
        size = path.stat().st_size
        if size > MAX_CHECKPOINT_BYTES:
            raise BadCheckpoint(
                f"{path} has {size / 1024**3:.1f} GiB.",
                why="The largest SHViT has a few hundred MB, including its training state.",
            )
        return path.read_bytes()
    except OSError as reason:
        raise BadCheckpoint(f"{path} cannot be read: {reason.strerror}.") from None


def _detect_layout(tensors: dict[str, Tensor], display_name: str) -> CheckpointLayout:
    """Return the layout of the tensors' names."""
    layouts = detect_layouts(tensors)
    if len(layouts) == 1:
        return layouts.pop()
    if not layouts:
        raise _build_unknown_model_error({name: tuple(tensor.shape) for name, tensor in tensors.items()}, display_name)
    firsts = [next(name for name in tensors if detect_layouts([name]) == {layout}) for layout in ("official", "timm")]
    raise BadCheckpoint(
        f"{display_name} mixes two layouts: {firsts[0]} is a name of the authors, {firsts[1]} of timm.",
        why="A checkpoint has one layout.",
    )


def _restore_kernel_dimensions(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with weights of 1x1 convolutions that are stored as matrices reshaped to four dimensions."""
    return {
        name: tensor[:, :, None, None] if tensor.ndim == 2 and _POINTWISE_WEIGHT_KEY.fullmatch(name) else tensor
        for name, tensor in tensors.items()
    }


def build_model(
    tensors: dict[str, Tensor],
    layout: CheckpointLayout,
    declared_config: SHViTConfig | None,
    variant: str | None,
    display_name: str,
) -> SHViT:
    """Build the SHViT of a checkpoint's tensors, which have timm's names.

    Args:
        tensors: float32, on the CPU.
        layout: The layout whose names errors use.
        declared_config: The configuration in the checkpoint's metadata, if any.
        variant: The expected variant, if any.
        display_name: The file's name in errors.

    Raises:
        BadCheckpoint: If the tensors are not exactly those of a SHViT, of `variant` or of the declared configuration.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    rename: Callable[[str], str] = partial(from_timm_key, layout=layout)
    config = infer_config(shapes)
    inferred = fit_config(shapes, config, rename) if config else None
    if variant is not None:
        wanted = fit_config(shapes, adapt_variant(variant, shapes), rename)
        if wanted.misfits:
            raise _build_wrong_variant_error(variant, wanted, inferred, display_name)
        return _create_model_from_tensors(wanted.config, tensors)
    if inferred is None or inferred.misfits:
        raise _build_incomplete_model_error(inferred, shapes, rename, display_name)
    if declared_config is not None and (faults := find_contradictions(shapes, declared_config, inferred.config)):
        raise BadCheckpoint(
            f"The metadata of {display_name} does not fit its tensors: {format_faults(faults)}.",
            why="The metadata is damaged or was edited by hand.",
        )
    return _create_model_from_tensors(declared_config or inferred.config, tensors)


def _create_model_from_tensors(config: SHViTConfig, tensors: dict[str, Tensor]) -> SHViT:
    """Create a SHViT in eval mode that owns the tensors, without initializing random weights first."""
    with torch.device("meta"):
        model = SHViT(config)
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def _build_wrong_variant_error(
    requested: str, wanted: ConfigFit, inferred: ConfigFit | None, display_name: str
) -> BadCheckpoint:
    """Return the error for a checkpoint of another variant, with the variant it looks like."""
    why = hint = ""
    if inferred and not inferred.misfits:
        name = find_variant(inferred.config)
        if name in VARIANTS:
            why, hint = f"It looks like {name}.", f"Set `variant` to '{name}', or leave it out."
        else:
            config = inferred.config
            why = f"It looks like a custom SHViT with dims {config.dims} and depths {config.depths}."
            hint = "Leave `variant` out."
    return BadCheckpoint(f"{display_name} {_describe_fit(requested, wanted)}", why=why, hint=hint, parameter="variant")


def _build_incomplete_model_error(
    inferred: ConfigFit | None, shapes: dict[str, tuple[int, ...]], rename: Callable[[str], str], display_name: str
) -> BadCheckpoint:
    """Return the error for tensors of an incomplete SHViT, compared with the closest configuration."""
    name, nearest = find_nearest_variant(shapes, rename)
    if inferred and len(inferred.misfits) < len(nearest.misfits):
        name, nearest = find_variant(inferred.config), inferred
    if not nearest.fitting:
        return _build_unknown_model_error(shapes, display_name)
    why = ""
    if "patch_embed.0.weight" in shapes or "patch_embed.0.c.bias" in shapes:
        why = "Its BatchNorms are folded into its convolutions. Use the checkpoint as it was trained."
    elif "head.l.weight" not in shapes:
        why = "It has features, but no classifier."
    return BadCheckpoint(f"{display_name} is not a complete SHViT: it {_describe_fit(name, nearest)}", why=why)


def _describe_fit(name: str, fit: ConfigFit) -> str:
    """Describe how many tensors fit a variant, as the end of a sentence."""
    model = name if name in VARIANTS else "a SHViT of its shapes"
    return (
        f"contains {fit.fitting} of the {fit.expected} tensors of {model}; "
        f"the first that do not fit: {format_faults(fit.misfits)}."
    )


def _build_unknown_model_error(shapes: dict[str, tuple[int, ...]], display_name: str) -> BadCheckpoint:
    """Return the error for a checkpoint of another network."""
    firsts = [f"{name} {shape}" for name, shape in list(shapes.items())[:3]]
    return BadCheckpoint(
        f"{display_name} is not of a SHViT: none of its {len(shapes)} tensors fits; the first are {', '.join(firsts)}.",
        why="A SHViT has patch_embed.0.c.weight, blocks1 to blocks3 (authors) or stages (timm), and head.l.weight.",
    )


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
    if tensor.dtype not in FLOAT_DTYPES:
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
