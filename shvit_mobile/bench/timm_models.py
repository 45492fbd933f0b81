"""Models from elsewhere, to be measured through the same path: any of timm's, with random weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from shvit_mobile.errors import InvalidConfig, ToolMissing


@dataclass(frozen=True)
class TimmModel:
    """A model and the size of image it is made for."""

    name: str
    module: nn.Module
    size: tuple[int, int]


def create_timm_model(name: str) -> TimmModel:
    """A timm model by its name, reparameterised where it can be, in eval mode.

    Weights are random: what they are does not change how long a network takes.

    Raises:
        ToolMissing: timm is not installed.
        InvalidConfig: timm knows no such model.
    """
    module = create_timm_module(name)
    _, height, width = module.default_cfg["input_size"]  # type: ignore[index]
    return TimmModel(name, module, (height, width))


def create_timm_module(name: str) -> nn.Module:
    """As `create_timm_model`, the module alone."""
    try:
        import timm
        from timm.utils.model import reparameterize_model
    except ImportError:
        raise ToolMissing(
            "timm is not installed.", why="--models measures its models.", hint="pip install 'shvit-mobile[models]'"
        ) from None
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_')[0]}*")[:5]
        raise InvalidConfig(f"timm knows no model '{name}'.", hint=f"Near it: {', '.join(near)}." if near else "")
    module: nn.Module = reparameterize_model(timm.create_model(name, pretrained=False).eval())
    return module
