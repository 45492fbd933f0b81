"""Creates timm models with random weights as peers."""

from torch import nn

from shvit_mobile.families.timm_family import create_timm_model, reparameterize


def create_timm_module(name: str) -> nn.Module:
    """Create a timm model by its name, reparameterized if possible, in eval mode.

    Weights are random, which does not affect latency.

    Raises:
        ToolMissing: If timm is not installed.
        InvalidValue: If timm has no such model.
    """
    return reparameterize(create_timm_model(name, parameter="models"))
