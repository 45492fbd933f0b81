"""The deploy form: a trained model as it is lowered, with BatchNorm folded away, and how to run it on pixels."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shvit_mobile.contracts.preprocessing import convert_to_raw_input
from shvit_mobile.families.shvit import SHViT
from shvit_mobile.families.trained_model import TrainedModel
from shvit_mobile.threads import BATCH, map_in_order


@dataclass(frozen=True)
class DeployForm:
    """A trained model without BatchNorm, equal to it; see `shvit_mobile.deploy.fold.to_deploy_form`.

    Attributes:
        module: The SHViT without BatchNorm, in eval mode, with the trained model's dtype and device.
        trained: The model that was folded.
        input_domain: "pixels" if the module takes 0 to 255 and normalizes inside, "normalised" if it does not.
        error: The largest relative difference from the trained model on random images, in float64.
    """

    module: SHViT
    trained: TrainedModel
    input_domain: Literal["pixels", "normalised"]
    error: float

    def prepare(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Convert pixels, uint8, shape (images, height, width, 3), to the module's input.

        Returns:
            float32, shape (images, 3, height, width).
        """
        normalize = self.trained.preprocessing.normalize
        return torch.from_numpy((convert_to_raw_input if self.input_domain == "pixels" else normalize)(pixels))

    @torch.inference_mode()
    def run(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Compute the logits, shape (images, classes), of pixels, uint8, shape (images, height, width, 3)."""
        batches = (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
        return torch.cat(list(map_in_order(lambda batch: self.module(self.prepare(batch)), batches)))


class MeanSubtraction(nn.Module):
    """A layer that subtracts a constant from each channel."""

    mean: Tensor

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean[None, :, None, None].clone())

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels - self.mean
