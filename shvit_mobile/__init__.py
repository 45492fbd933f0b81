"""Takes trained mobile vision models to the phone: exports, quantizes, and compares every artifact with the checkpoint.

Three functions run whole workflows, each with a config and a result:

    result = export(ExportConfig(targets=["coreml"], precisions=["int8"]))
    result = calibrate(CalibrateConfig(checkpoint="shvit_s4.pth", calibration="photos", max_drop=0.5))
    result = validate(ValidateConfig(artifacts=["artifacts/shvit_s1-224-coreml-int8.mlpackage"]))

The steps between are functions, too, and you can stop at any of them:

    trained = load_checkpoint("shvit_s4.pth")
    deployed = to_deploy_form(trained)
    recipe, overrides = calibrate_recipe(deployed, open_images("photos"))
    artifact = lower(deployed, recipe, "coreml", overrides=overrides)
    drift = compare(artifact, trained, open_images("validation", labels=trained.labels))
"""

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than all this
if TYPE_CHECKING:
    from typing import Any

    from shvit_mobile.contracts.artifact import Artifact
    from shvit_mobile.contracts.preprocessing import Preprocessing
    from shvit_mobile.contracts.recipe import Recipe
    from shvit_mobile.deploy.fold import to_deploy_form
    from shvit_mobile.drift.compare import compare
    from shvit_mobile.families.any_module import wrap_module
    from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
    from shvit_mobile.images.image_set import open_images
    from shvit_mobile.pipeline.calibrate import CalibrateConfig, CalibrateResult, calibrate
    from shvit_mobile.pipeline.export import ExportConfig, ExportResult, export
    from shvit_mobile.pipeline.lower import lower
    from shvit_mobile.pipeline.validate import ValidateConfig, ValidateResult, validate
    from shvit_mobile.quantize.calibrate import calibrate_recipe
    from shvit_mobile.quantize.overrides import ParameterOverrides, load_recipe, save_recipe
    from shvit_mobile.runtimes import open_runner

__all__ = [
    "Artifact",
    "CalibrateConfig",
    "CalibrateResult",
    "ExportConfig",
    "ExportResult",
    "ParameterOverrides",
    "Preprocessing",
    "Recipe",
    "ValidateConfig",
    "ValidateResult",
    "calibrate",
    "calibrate_recipe",
    "compare",
    "export",
    "load_checkpoint",
    "load_recipe",
    "lower",
    "open_images",
    "open_runner",
    "save_checkpoint",
    "save_recipe",
    "to_deploy_form",
    "validate",
    "wrap_module",
]

# Imported on first use: `import shvit_mobile` and `shvit-mobile --help` load neither torch nor coremltools.
_LAZY_EXPORTS = {
    "contracts.artifact": ("Artifact",),
    "contracts.preprocessing": ("Preprocessing",),
    "contracts.recipe": ("Recipe",),
    "deploy.fold": ("to_deploy_form",),
    "drift.compare": ("compare",),
    "families.any_module": ("wrap_module",),
    "families.checkpoints": ("load_checkpoint", "save_checkpoint"),
    "images.image_set": ("open_images",),
    "pipeline.calibrate": ("CalibrateConfig", "CalibrateResult", "calibrate"),
    "pipeline.export": ("ExportConfig", "ExportResult", "export"),
    "pipeline.lower": ("lower",),
    "pipeline.validate": ("ValidateConfig", "ValidateResult", "validate"),
    "quantize.calibrate": ("calibrate_recipe",),
    "quantize.overrides": ("ParameterOverrides", "load_recipe", "save_recipe"),
    "runtimes": ("open_runner",),
}
_MODULES = {name: f"shvit_mobile.{module}" for module, names in _LAZY_EXPORTS.items() for name in names}


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
