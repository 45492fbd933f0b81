"""Creates timm models with random weights as peers."""

from dataclasses import dataclass

from torch import nn

from shvit_mobile.errors import InvalidValue, ToolMissing


@dataclass(frozen=True)
class _TimmModel:
    """A model and its default input size."""

    name: str
    module: nn.Module
    size: tuple[int, int]


def create_timm_model(name: str) -> _TimmModel:
    """Create a timm model by its name, reparameterized if possible, in eval mode.

    Weights are random, which does not affect latency.

    Raises:
        ToolMissing: If timm is not installed.
        InvalidValue: If timm has no such model.
    """
    module = create_timm_module(name)
    _, height, width = module.default_cfg["input_size"]  # type: ignore[index]
    return _TimmModel(name, module, (height, width))


def create_timm_module(name: str) -> nn.Module:
    """Create the module of `create_timm_model`."""
    try:
        import timm
        from timm.utils.model import reparameterize_model
    except ImportError:
        raise ToolMissing(
            "timm is not installed.", why="`models` names its models.", hint="pip install 'shvit-mobile[models]'"
        ) from None
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_')[0]}*")[:5]
        hint = f"Similar: {', '.join(near)}." if near else ""
        raise InvalidValue(f"timm has no model '{name}'.", hint=hint, parameter="models")
    module: nn.Module = reparameterize_model(timm.create_model(name, pretrained=False).eval())
    return module
