"""A trained SHViT in, phone-ready artifacts out, and nothing leaves unproven.

The whole path in five calls, each of which can be stopped at:

    trained  = load_checkpoint("shvit_s4.pth")
    deployed = to_deploy_form(trained)
    recipe, overrides = calibrate_recipe(deployed, open_images("photos"), precision="int8")
    artifact = lower(deployed, recipe, target="coreml", overrides=overrides)
    drift    = compare(artifact, trained, open_images("validation", labels=trained.labels))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.deploy.fold import to_deploy_form
    from shvit_mobile.drift.compare import compare
    from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
    from shvit_mobile.images.image_set import open_images
    from shvit_mobile.pipeline.lower import lower
    from shvit_mobile.quantize.calibrate import calibrate_recipe
    from shvit_mobile.runtimes import open_runner

__all__ = [
    "Artifact",
    "calibrate_recipe",
    "compare",
    "load_checkpoint",
    "lower",
    "open_images",
    "open_runner",
    "save_checkpoint",
    "to_deploy_form",
]

# Imported when first asked for: `import shvit_mobile` and `shvit-mobile --help` load neither torch nor coremltools.
LAZY_EXPORTS = {
    "Artifact": "shvit_mobile.contracts.artifact",
    "calibrate_recipe": "shvit_mobile.quantize.calibrate",
    "compare": "shvit_mobile.drift.compare",
    "load_checkpoint": "shvit_mobile.families.checkpoints",
    "lower": "shvit_mobile.pipeline.lower",
    "open_images": "shvit_mobile.images.image_set",
    "open_runner": "shvit_mobile.runtimes",
    "save_checkpoint": "shvit_mobile.families.checkpoints",
    "to_deploy_form": "shvit_mobile.deploy.fold",
}


def __getattr__(name: str) -> Any:
    if name not in LAZY_EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(LAZY_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *LAZY_EXPORTS])
