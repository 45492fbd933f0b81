"""The configuration of a checkpoint, inferred from the shapes of its tensors."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import torch

from shvit_mobile.errors import InvalidConfig, InvalidValue
from shvit_mobile.families.shvit import VARIANTS, SHViT, SHViTConfig

TensorShapes = Mapping[str, tuple[int, ...]]
_CUSTOM_VARIANT = "custom"

# S4 has 17. A forged file must not make this program build a model with a million blocks.
_MAX_BLOCKS = 1000

_STAGE_KEY = re.compile(r"stages\.(\d+)\.")
_BLOCK_KEY = re.compile(r"stages\.(\d+)\.blocks\.(\d+)\.")
_DEPTHWISE_WEIGHT_KEY = re.compile(r"stages\.\d+\.(blocks\.\d+\.conv|downsample\.[03])\.m\.c\.weight")
_MLP_WEIGHT_KEY = re.compile(r"stages\.\d+\.(blocks\.\d+\.ffn|downsample\.[14])\.m\.pw1\.c\.weight")


@dataclass(frozen=True)
class ConfigFit:
    """The comparison of a checkpoint's tensors with a configuration.

    Attributes:
        config: The configuration.
        expected: The number of tensors of the configuration.
        fitting: The number of them that the checkpoint has with the right shape.
        misfits: A clause for each tensor that is missing, unexpected or has another shape.
    """

    config: SHViTConfig
    expected: int
    fitting: int
    misfits: tuple[str, ...]


def find_variant(config: SHViTConfig) -> str:
    """Return the variant of `config`, ignoring classes and heads; "custom" if there is none."""
    plain = replace(config, classes=1000, distilled=False)
    return next((name for name, numbers in VARIANTS.items() if numbers == plain), _CUSTOM_VARIANT)


def adapt_variant(name: str, shapes: TensorShapes) -> SHViTConfig:
    """Return the configuration of a variant with the classes and heads of a checkpoint."""
    return replace(
        VARIANTS[name],
        classes=_count_classes(shapes),
        distilled=any(name.startswith("head_dist.") for name in shapes),
    )


def infer_config(shapes: TensorShapes) -> SHViTConfig | None:
    """Infer the configuration of a SHViT from the shapes of its tensors, by timm's names.

    `partial_dims` and `qk_dims` of a stage without attention cannot be inferred: they are those of the variant that
    fits otherwise, or a quarter of the channels and 16.

    Returns:
        The configuration; None if a necessary tensor is missing, or the shapes are contradictory.
    """
    try:
        config = _read_config_from_shapes(shapes)
    except (KeyError, IndexError, ValueError, InvalidConfig):
        return None
    named = (adapt_variant(name, shapes) for name in VARIANTS)
    return next(
        (variant for variant in named if _mask_unobservable_fields(variant) == _mask_unobservable_fields(config)),
        config,
    )


def find_contradictions(shapes: TensorShapes, declared: SHViTConfig, inferred: SHViTConfig) -> list[str]:
    """Return a clause for each field in which the declared configuration contradicts the tensors."""
    pairs = [
        (
            field.name,
            getattr(_mask_unobservable_fields(declared), field.name),
            getattr(_mask_unobservable_fields(inferred), field.name),
        )
        for field in fields(declared)
    ]
    return [
        f"{name} is {stated}, but the tensors have {actual}"
        for name, stated, actual in pairs
        if stated != actual and not (name == "mlp_ratio" and _matches_ratio(stated, _collect_mlp_widths(shapes)))
    ]


def _mask_unobservable_fields(config: SHViTConfig) -> SHViTConfig:
    """Replace the fields of `config` that have no effect on the tensors by 1 and "i"."""
    attends = [kind == "s" and depth > 0 for kind, depth in zip(config.block_types, config.depths, strict=True)]
    return replace(
        config,
        partial_dims=tuple(n if attending else 1 for n, attending in zip(config.partial_dims, attends, strict=True)),
        qk_dims=tuple(n if attending else 1 for n, attending in zip(config.qk_dims, attends, strict=True)),
        block_types=tuple("s" if attending else "i" for attending in attends),
    )


def _read_config_from_shapes(shapes: TensorShapes) -> SHViTConfig:
    """Read the configuration from shapes, or raise an error if that fails."""
    # Stages and blocks are counted, so that a forged number in a name has no effect.
    stages = range(len({match[1] for name in shapes if (match := _STAGE_KEY.match(name))}))
    blocks = {(int(match[1]), int(match[2])) for name in shapes if (match := _BLOCK_KEY.match(name))}
    if len(blocks) > _MAX_BLOCKS:
        raise InvalidValue(f"There are {len(blocks)} blocks.")
    dims = [shapes[f"stages.{i}.downsample.3.m.c.weight" if i else "patch_embed.6.c.weight"][0] for i in stages]
    norms = [f"stages.{i}.blocks.0.mixer.m.pre_norm.weight" for i in stages]
    attends = [norm in shapes for norm in norms]
    partial = [shapes[norms[i]][0] if attends[i] else max(1, dims[i] // 4) for i in stages]
    qkv = [shapes[f"stages.{i}.blocks.0.mixer.m.qkv.c.weight"][0] if attends[i] else partial[i] + 32 for i in stages]
    return SHViTConfig(
        dims=tuple(dims),
        partial_dims=tuple(partial),
        qk_dims=tuple((both - own) // 2 for both, own in zip(qkv, partial, strict=True)),
        depths=tuple(sum(stage == i for stage, _ in blocks) for i in stages),
        block_types=tuple("s" if attending else "i" for attending in attends),
        classes=_count_classes(shapes),
        in_channels=shapes["patch_embed.0.c.weight"][1],
        kernel_size=next((shape[2] for name, shape in shapes.items() if _DEPTHWISE_WEIGHT_KEY.fullmatch(name)), 3),
        mlp_ratio=find_simplest_ratio(_collect_mlp_widths(shapes)),
        distilled=any(name.startswith("head_dist.") for name in shapes),
    )


def _collect_mlp_widths(shapes: TensorShapes) -> list[tuple[int, int]]:
    """Return (dim, hidden) of every feed-forward part."""
    return [(shape[1], shape[0]) for name, shape in shapes.items() if _MLP_WEIGHT_KEY.fullmatch(name)]


def _matches_ratio(ratio: float, pairs: list[tuple[int, int]]) -> bool:
    """Return whether int(dim * ratio) is the hidden width in every (dim, hidden)."""
    return math.isfinite(ratio) and all(int(dim * ratio) == hidden for dim, hidden in pairs)


def find_simplest_ratio(pairs: list[tuple[int, int]]) -> float:
    """Return the shortest decimal that matches every (dim, hidden), or the largest quotient (2 without pairs)."""
    lowest = max((hidden / dim for dim, hidden in pairs), default=2.0)
    candidates = (math.ceil(lowest * 10**digits) / 10**digits for digits in range(9))
    return next((ratio for ratio in candidates if _matches_ratio(ratio, pairs)), lowest)


def fit_config(shapes: TensorShapes, config: SHViTConfig, rename: Callable[[str], str]) -> ConfigFit:
    """Compare shapes, by timm's names, with `config`; `rename` returns the file's own name of a tensor."""
    expected = compute_expected_shapes(config)
    misfits = [
        f"{rename(name)} is {shapes[name]}, expected {shape}" if name in shapes else f"{rename(name)} is missing"
        for name, shape in expected.items()
        if shapes.get(name) != shape
    ]
    fitting = len(expected) - len(misfits)
    misfits += [f"{rename(name)} {shape} is unexpected" for name, shape in shapes.items() if name not in expected]
    return ConfigFit(config, len(expected), fitting, tuple(misfits))


def find_nearest_variant(shapes: TensorShapes, rename: Callable[[str], str]) -> tuple[str, ConfigFit]:
    """Return the variant with the fewest misfits, with the checkpoint's classes and heads."""
    fits = {name: fit_config(shapes, adapt_variant(name, shapes), rename) for name in VARIANTS}
    return min(fits.items(), key=lambda item: len(item[1].misfits))


def _count_classes(shapes: TensorShapes) -> int:
    """Return the classes of the head; 1000 without a head, so that the rest can be compared."""
    return next(iter(shapes.get("head.l.weight", ())), 1000)


def compute_expected_shapes(config: SHViTConfig) -> dict[str, tuple[int, ...]]:
    """Compute the shapes of a model's parameters and running statistics by name, without batch counters."""
    return dict(_compute_shapes(config))


@lru_cache(maxsize=64)
def _compute_shapes(config: SHViTConfig) -> tuple[tuple[str, tuple[int, ...]], ...]:
    with torch.device("meta"):
        state = SHViT(config).state_dict()
    return tuple((name, tuple(one.shape)) for name, one in state.items() if not name.endswith("num_batches_tracked"))
