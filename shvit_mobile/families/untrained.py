"""Models with random weights, by the names that manifests have."""

from torch import nn

from shvit_mobile.contracts.manifest import Task
from shvit_mobile.families.shvit import VARIANTS, create_shvit
from shvit_mobile.families.shvit_family import build_features
from shvit_mobile.families.timm_family import create_timm_model, is_timm_model, reparameterize


def create_untrained(variant: str, classes: int, task: Task = "classify") -> nn.Module | None:
    """Create a model in eval mode as it is deployed, without branches for training; None if no family knows the name.

    Args:
        variant: A variant of SHViT, or timm's name of a model.
        classes: The outputs of its head.
        task: "features" for the stages of a SHViT without a head; None is returned for other models.
    """
    if task != "classify":
        return build_features(create_shvit(variant)) if variant in VARIANTS and task == "features" else None
    if variant in VARIANTS:
        return create_shvit(variant, classes=classes).eval()
    known = variant != "custom" and is_timm_model(variant)
    return reparameterize(create_timm_model(variant, classes)) if known else None
