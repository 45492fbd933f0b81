"""Creates timm models with random weights as peers."""

from torch import nn

from shvit_mobile.errors import InvalidValue, ToolMissing


def create_timm_module(name: str) -> nn.Module:
    """Create a timm model by its name, reparameterized if possible, in eval mode.

    Weights are random, which does not affect latency.

    Raises:
        ToolMissing: If timm is not installed.
        InvalidValue: If timm has no such model.
    """
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
