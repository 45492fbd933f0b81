"""A trained SHViT in, phone-ready artifacts out, and nothing leaves unproven.

The whole path in five calls, each of which can be stopped at:

    trained  = load_checkpoint("shvit_s4.pth")
    deployed = to_deploy_form(trained)
    recipe   = calibrate(deployed, open_images("photos"), precision="int8")
    artifact = lower(deployed, recipe, target="coreml")
    drift    = compare(artifact, trained, open_images("validation", labels=trained.labels))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shvit_mobile.deploy.fuse import to_deploy_form
    from shvit_mobile.drift.compare import compare
    from shvit_mobile.images.folders import open_images
    from shvit_mobile.model.checkpoints import load_checkpoint, save_checkpoint
    from shvit_mobile.quantize.calibrate import calibrate
    from shvit_mobile.runtimes import open_runner
    from shvit_mobile.targets.artifact import Artifact
    from shvit_mobile.targets.lower import lower

__all__ = [
    "Artifact",
    "calibrate",
    "compare",
    "load_checkpoint",
    "lower",
    "open_images",
    "open_runner",
    "save_checkpoint",
    "to_deploy_form",
]

# Imported when first asked for: `import shvit_mobile` and `shvit-mobile --help` load neither torch nor coremltools.
HOMES = {
    "Artifact": "shvit_mobile.targets.artifact",
    "calibrate": "shvit_mobile.quantize.calibrate",
    "compare": "shvit_mobile.drift.compare",
    "load_checkpoint": "shvit_mobile.model.checkpoints",
    "lower": "shvit_mobile.targets.lower",
    "open_images": "shvit_mobile.images.folders",
    "open_runner": "shvit_mobile.runtimes",
    "save_checkpoint": "shvit_mobile.model.checkpoints",
    "to_deploy_form": "shvit_mobile.deploy.fuse",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *HOMES])
