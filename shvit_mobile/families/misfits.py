"""Errors for checkpoints without the SHViT that was expected: what was compared, what does not fit, what would."""

from collections.abc import Sequence

from shvit_mobile.errors import BadCheckpoint
from shvit_mobile.families.containers import format_faults
from shvit_mobile.families.discover import Candidate, Inventory, complete_head, get_shape, shorten_name
from shvit_mobile.families.shvit import VARIANTS
from shvit_mobile.families.shvit_config import ConfigFit, adapt_variant, find_nearest_variant, find_variant, fit_config
from shvit_mobile.families.weights import check_claims, check_types


def build_empty_error(inventory: Inventory, display_name: str) -> BadCheckpoint:
    """Return the error for a file without tensors."""
    keys = ", ".join(str(key)[:40] for _, mapping in inventory.mappings[:1] for key in list(mapping)[:5])
    skipped = f"Objects that need code are not read: {', '.join(list(inventory.classes)[:3])}. "
    return BadCheckpoint(
        f"{display_name} contains no tensors; it contains {keys or 'nothing with a name'}.",
        why=f"{skipped if inventory.classes else ''}"
        "A checkpoint is the state dict of a SHViT, or contains one under any key.",
        hint="Save the weights by name: torch.save(model.state_dict(), 'weights.pth')",
    )


def build_incomplete_model_error(
    candidates: Sequence[Candidate], inventory: Inventory, size: int, variant: str | None, display_name: str
) -> BadCheckpoint:
    """Return the error for a file without a complete SHViT, about the tensors that are closest to one."""
    if not candidates:
        shapes = {name: get_shape(tensor) for name, tensor in inventory.tensors.items()}
        return _build_unknown_model_error(shapes, display_name)
    candidate = candidates[0]
    check_types(candidate, display_name)
    check_claims(candidate, size, display_name)
    shapes = {key: get_shape(tensor) for key, tensor in candidate.tensors.items()}
    name, nearest = find_nearest_variant(shapes, candidate.rename)
    if candidate.fit and len(candidate.fit.misfits) < len(nearest.misfits):
        name, nearest = find_variant(candidate.fit.config), candidate.fit
    if not nearest.fitting:
        return _build_unknown_model_error(shapes, display_name)
    if variant is not None:
        name, nearest = variant, fit_config(shapes, adapt_variant(variant, shapes), candidate.rename)
    why = hint = ""
    if "patch_embed.0.weight" in shapes or "patch_embed.0.c.bias" in shapes:
        why = "Its BatchNorms are folded into its convolutions. Use the checkpoint as it was trained."
    elif candidate.head_fault:
        why = f"A SHViT's classifier is a linear layer, with or without a BatchNorm before it; {candidate.head_fault}."
        hint = "If it computes the same as one linear layer, save that as head.weight and head.bias."
    elif "head.l.weight" not in shapes:
        why = f"It has features, but no {'linear layer head.l' if 'head.bn.weight' in shapes else 'classifier'}."
    elif not any(key.startswith("head.bn.") for key in shapes):
        why = "Its head.l comes after a BatchNorm head.bn in a SHViT."
        hint = "If it was trained without, name its tensors head.weight and head.bias."
    parameter = None
    if complete_head(candidate).is_complete:
        hint, parameter = f"{hint} For its feature maps: `task=features`.".strip(), "task"
    where = "" if candidate.name == "root" else f" under {shorten_name(candidate.name)}"
    return BadCheckpoint(
        f"{display_name} is not a complete SHViT: it {_describe_fit(name, nearest, where)}",
        why=why,
        hint=hint,
        parameter=parameter,
    )


def build_wrong_variant_error(
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


def _describe_fit(name: str, fit: ConfigFit, where: str = "") -> str:
    """Describe how many tensors fit a variant, as the end of a sentence."""
    model = name if name in VARIANTS else "a SHViT of its shapes"
    return (
        f"contains{where} {fit.fitting} of the {fit.expected} tensors of {model}; "
        f"the first that do not fit: {format_faults(fit.misfits)}."
    )


def _build_unknown_model_error(shapes: dict[str, tuple[int, ...]], display_name: str) -> BadCheckpoint:
    """Return the error for a checkpoint of another network."""
    firsts = [f"{name} {shape}" for name, shape in list(shapes.items())[:3]]
    return BadCheckpoint(
        f"{display_name} is not of a SHViT: none of its {len(shapes)} tensors fits; the first are {', '.join(firsts)}.",
        why="A SHViT has patch_embed.0.c.weight, blocks1 to blocks3 (authors) or stages (timm), and head.l.weight.",
        hint="For another model of timm, set `variant` to 'timm:' and timm's name of it.",
    )
