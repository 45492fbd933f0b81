"""The deploy form: a trained model as it is lowered, with BatchNorm folded away, and how to run it on pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shvit_mobile.contracts.manifest import OutputContract
from shvit_mobile.contracts.preprocessing import convert_to_raw_input
from shvit_mobile.deploy.verification import list_tensors
from shvit_mobile.deploy.wiring import Wiring
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.threads import BATCH, choose_batch_size, map_in_order

# The name of a classifier's output in every artifact.
LOGITS = "logits"
CLASSIFIER_OUTPUT = OutputContract(logits=LOGITS)


@dataclass(frozen=True)
class DeployForm:
    """A trained model without BatchNorm, equal to it; see `shvit_mobile.deploy.fold.to_deploy_form`.

    Attributes:
        module: The module, in eval mode, with the trained model's dtype and device.
        trained: The model that was folded.
        input_domain: "pixels" if the module takes 0 to 255 and normalizes inside, "normalised" if it does not.
        error: The largest relative difference from the trained model on random images, in float64.
        first_layers: The names of the convolutions that take the images; empty if something else takes them, too.
        output: The outputs of the module: logits, or maps.
    """

    module: nn.Module
    trained: TrainedModel
    input_domain: Literal["pixels", "normalised"]
    error: float
    first_layers: tuple[str, ...]
    output: OutputContract = CLASSIFIER_OUTPUT
    # Shared by copies with other weights, which are connected in the same way.
    _found: list[Wiring] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def entry(self) -> str:
        """The path of the chain of layers whose first takes the images; empty for the module itself."""
        return self.trained.family.entry

    @property
    def wiring(self) -> Wiring:
        """How the layers of `module` are connected."""
        if not self._found:
            self._found.append(Wiring.from_module(self.module, (1, 3, *self.trained.preprocessing.size)))
        return self._found[0]

    @property
    def mean_name(self) -> str | None:
        """The name of the buffer that is subtracted from pixels; None if the module takes normalized images."""
        found = find_mean_subtraction(self.module, self.entry)
        return None if found is None else f"{found[0]}.mean"

    def replace_module(self, module: nn.Module) -> "DeployForm":
        """Return the form with another module of the same structure."""
        changed = replace(self, module=module)
        object.__setattr__(changed, "_found", self._found)
        return changed

    def resize(self, size: tuple[int, int]) -> "DeployForm":
        """Return the form for images of another size, (height, width), with the same module.

        Use it only if the modules of the family compute the same function at every size, `Family.has_any_size`.
        """
        if size == self.trained.preprocessing.size:
            return self
        resized = replace(self.trained.preprocessing, size=size)
        return replace(self, trained=replace(self.trained, preprocessing=resized))

    def prepare(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Convert pixels, uint8, shape (images, height, width, 3), to the module's input.

        Returns:
            float32, shape (images, 3, height, width).
        """
        normalize = self.trained.preprocessing.normalize
        return torch.from_numpy((convert_to_raw_input if self.input_domain == "pixels" else normalize)(pixels))

    def run(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Compute the logits of a classifier, shape (images, classes); see `run_outputs`."""
        return self.run_outputs(pixels)[LOGITS]

    def run_outputs(self, pixels: NDArray[np.uint8]) -> dict[str, Tensor]:
        """Compute the outputs of pixels, uint8, shape (images, height, width, 3).

        Returns:
            By name, shape (images, *shape).
        """
        return run_in_batches(self.module, self, pixels)


@torch.inference_mode()
def run_in_batches(
    module: Callable[[Tensor], Tensor | Sequence[Tensor]],
    deployed: DeployForm,
    pixels: NDArray[np.uint8],
    *,
    size: int | None = None,
) -> dict[str, Tensor]:
    """Compute the outputs of a form of a model, by name, shape (images, *shape).

    Args:
        module: Takes what `deployed.prepare` returns, and has the outputs of `deployed`.
        deployed: The deploy form.
        pixels: uint8, shape (images, height, width, 3).
        size: Images at once (default: `choose_batch_size`).
    """
    step = size or choose_batch_size(BATCH, pixels.shape[1:3])
    batches = (pixels[start : start + step] for start in range(0, len(pixels), step))
    parts = map_in_order(lambda batch: list_tensors(module(deployed.prepare(batch))), batches)
    return dict(zip(deployed.output.names, map(torch.cat, zip(*parts, strict=True)), strict=True))


class MeanSubtraction(nn.Module):
    """A layer that subtracts a constant from each channel, and may scale each.

    Args:
        mean: What is subtracted, shape (channels,).
        scale: The factor of each channel, shape (channels,); None for no scaling.
    """

    mean: Tensor
    scale: Tensor | None

    def __init__(self, mean: Tensor, scale: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", mean[None, :, None, None].clone())
        self.register_buffer("scale", None if scale is None else scale[None, :, None, None].clone())

    def forward(self, pixels: Tensor) -> Tensor:
        centered = pixels - self.mean
        return centered if self.scale is None else centered * self.scale


def find_mean_subtraction(module: nn.Module, entry: str) -> tuple[str, MeanSubtraction] | None:
    """Return the layer of a form that subtracts the mean, and its name; None if the form takes normalized images.

    Args:
        module: The form.
        entry: The path of its first layers, as `DeployForm.entry`.
    """
    name, first = next(module.get_submodule(entry).named_children())
    return (f"{entry}.{name}".lstrip("."), first) if isinstance(first, MeanSubtraction) else None
