"""Which SHViT a checkpoint is: its configuration out of its tensors' shapes, and what does not fit one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import torch

from shvit_mobile.errors import InvalidConfig
from shvit_mobile.families.shvit import VARIANTS, SHViT, SHViTConfig

TensorShapes = Mapping[str, tuple[int, ...]]
CUSTOM_VARIANT = "custom"

# S4 has 17. A made-up file must not make us build a model of a million.
MAX_BLOCKS = 1000

STAGE_KEY = re.compile(r"stages\.(\d+)\.")
BLOCK_KEY = re.compile(r"stages\.(\d+)\.blocks\.(\d+)\.")
DEPTHWISE_WEIGHT_KEY = re.compile(r"stages\.\d+\.(blocks\.\d+\.conv|downsample\.[03])\.m\.c\.weight")
MLP_WEIGHT_KEY = re.compile(r"stages\.\d+\.(blocks\.\d+\.ffn|downsample\.[14])\.m\.pw1\.c\.weight")


@dataclass(frozen=True)
class ConfigFit:
    """How the tensors of a checkpoint fit a configuration.

    Attributes:
        config: the configuration.
        expected: how many tensors it has.
        fitting: how many of them are there with the right shape.
        misfits: a clause for each tensor that is missing, has another shape, or is not among the expected ones.
    """

    config: SHViTConfig
    expected: int
    fitting: int
    misfits: tuple[str, ...]


def find_variant(config: SHViTConfig) -> str:
    """The name of the variant that `config` is, whatever its classes and heads; "custom" if it is none."""
    plain = replace(config, classes=1000, distilled=False)
    return next((name for name, numbers in VARIANTS.items() if numbers == plain), CUSTOM_VARIANT)


def adapt_variant(name: str, shapes: TensorShapes) -> SHViTConfig:
    """The configuration of a named variant with the classes and heads of the checkpoint that has these shapes."""
    return replace(
        VARIANTS[name],
        classes=count_classes(shapes),
        distilled=any(name.startswith("head_dist.") for name in shapes),
    )


def infer_config(shapes: TensorShapes) -> SHViTConfig | None:
    """The configuration of the SHViT whose tensors, under our names, have these shapes.

    A stage without attention leaves no trace of its `partial_dims` and `qk_dims`: there the named variant that fits in
    all else decides, and a quarter of the channels and 16 where none does.

    Returns:
        None where a tensor is missing that the configuration is read from, or where no configuration could be so.
    """
    try:
        config = read_config_from_shapes(shapes)
    except (KeyError, IndexError, ValueError, InvalidConfig):
        return None
    named = (adapt_variant(name, shapes) for name in VARIANTS)
    return next(
        (variant for variant in named if mask_unobservable_fields(variant) == mask_unobservable_fields(config)), config
    )


def find_contradictions(shapes: TensorShapes, declared: SHViTConfig, inferred: SHViTConfig) -> list[str]:
    """Where the configuration that a file tells of itself is not the one of its tensors; a clause for each field."""
    pairs = [
        (
            field.name,
            getattr(mask_unobservable_fields(declared), field.name),
            getattr(mask_unobservable_fields(inferred), field.name),
        )
        for field in fields(declared)
    ]
    return [
        f"{name} {ours} where its tensors have {theirs}"
        for name, ours, theirs in pairs
        if ours != theirs and not (name == "mlp_ratio" and matches_ratio(ours, collect_mlp_widths(shapes)))
    ]


def mask_unobservable_fields(config: SHViTConfig) -> SHViTConfig:
    """`config` with 1 and "i" in place of what leaves no trace in the tensors."""
    attends = [kind == "s" and depth > 0 for kind, depth in zip(config.block_types, config.depths, strict=True)]
    return replace(
        config,
        partial_dims=tuple(n if seen else 1 for n, seen in zip(config.partial_dims, attends, strict=True)),
        qk_dims=tuple(n if seen else 1 for n, seen in zip(config.qk_dims, attends, strict=True)),
        block_types=tuple("s" if seen else "i" for seen in attends),
    )


def read_config_from_shapes(shapes: TensorShapes) -> SHViTConfig:
    # Stages and blocks are counted, not numbered, so that a made-up number cannot ask for as many of them.
    stages = range(len({found[1] for name in shapes if (found := STAGE_KEY.match(name))}))
    blocks = {(int(found[1]), int(found[2])) for name in shapes if (found := BLOCK_KEY.match(name))}
    if len(blocks) > MAX_BLOCKS:
        raise InvalidConfig(f"There are {len(blocks)} blocks.")
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
        classes=count_classes(shapes),
        in_channels=shapes["patch_embed.0.c.weight"][1],
        kernel_size=next((shape[2] for name, shape in shapes.items() if DEPTHWISE_WEIGHT_KEY.fullmatch(name)), 3),
        mlp_ratio=find_simplest_ratio(collect_mlp_widths(shapes)),
        distilled=any(name.startswith("head_dist.") for name in shapes),
    )


def collect_mlp_widths(shapes: TensorShapes) -> list[tuple[int, int]]:
    """(dim, hidden) of every feed-forward part."""
    return [(shape[1], shape[0]) for name, shape in shapes.items() if MLP_WEIGHT_KEY.fullmatch(name)]


def matches_ratio(ratio: float, pairs: list[tuple[int, int]]) -> bool:
    """Whether int(dim * ratio) is the hidden width in every (dim, hidden)."""
    return math.isfinite(ratio) and all(int(dim * ratio) == hidden for dim, hidden in pairs)


def find_simplest_ratio(pairs: list[tuple[int, int]]) -> float:
    """The shortest decimal that makes every (dim, hidden); the largest quotient if there is none, 2 without pairs."""
    lowest = max((hidden / dim for dim, hidden in pairs), default=2.0)
    candidates = (math.ceil(lowest * 10**digits) / 10**digits for digits in range(9))
    return next((ratio for ratio in candidates if matches_ratio(ratio, pairs)), lowest)


def fit_config(shapes: TensorShapes, config: SHViTConfig, rename: Callable[[str], str]) -> ConfigFit:
    """How tensors with these shapes, under our names, fit `config`; `named` turns a name into the file's own."""
    expected = compute_expected_shapes(config)
    misfits = [
        f"{rename(name)} is {shapes[name]}, expected {shape}" if name in shapes else f"{rename(name)} is missing"
        for name, shape in expected.items()
        if shapes.get(name) != shape
    ]
    fitting = len(expected) - len(misfits)
    misfits += [f"{rename(name)} {shape} has no place" for name, shape in shapes.items() if name not in expected]
    return ConfigFit(config, len(expected), fitting, tuple(misfits))


def find_nearest_variant(shapes: TensorShapes, rename: Callable[[str], str]) -> tuple[str, ConfigFit]:
    """The named variant, with the checkpoint's classes and heads, that it misses by the least, and how it fits."""
    fits = {name: fit_config(shapes, adapt_variant(name, shapes), rename) for name in VARIANTS}
    return min(fits.items(), key=lambda item: len(item[1].misfits))


def count_classes(shapes: TensorShapes) -> int:
    """The classes of the head; ImageNet's 1000 where there is no head, so that all else can still be compared."""
    return next(iter(shapes.get("head.l.weight", ())), 1000)


def compute_expected_shapes(config: SHViTConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of a model's parameters and running statistics, by name, without the counters of batches."""
    with torch.device("meta"):
        state = SHViT(config).state_dict()
    return {name: tuple(value.shape) for name, value in state.items() if not name.endswith("num_batches_tracked")}
