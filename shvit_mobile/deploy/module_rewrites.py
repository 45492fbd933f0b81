"""The form for a runtime whose family has modules of its own for it, compared with the deploy form in float64."""

import torch
from torch import nn

from shvit_mobile.deploy.form import DeployForm
from shvit_mobile.deploy.layers import replace_modules
from shvit_mobile.deploy.verification import (
    compute_relative_error,
    convert_dtype,
    copy_to_float64,
    generate_pixels,
    verify_error,
)
from shvit_mobile.families.family import RewriteName


@torch.no_grad()
def rewrite_for_runtime(deployed: DeployForm, name: RewriteName, runtime: str) -> nn.Module:
    """Return the deploy form with its family's modules for a runtime, a copy where it has none; float32, on the CPU.

    Layers keep their names, so a recipe fits both.

    Args:
        deployed: The model.
        name: Which modules of the family.
        runtime: Which runtime it is for, for the error.

    Raises:
        VerificationFailed: If the result differs from the deploy form by more than 1e-9 relative, in float64.
    """
    original, rewritten = copy_to_float64(deployed.module), copy_to_float64(deployed.module)
    replace_modules(rewritten, deployed.trained.family.rewrites.get(name, {}), runtime)
    pixels = generate_pixels(deployed.trained)[:1]
    verify_error(f"the form for {runtime}", compute_relative_error(original(pixels), rewritten(pixels)))
    return convert_dtype(rewritten, torch.zeros(()))
