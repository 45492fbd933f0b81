"""The training script's own arithmetic: its resampling is Pillow's, its phases are what they say."""

import numpy as np
import pytest
import torch
import train_demo
from PIL import Image

from shvit_mobile.families.shvit import create_shvit


def test_resampling_the_whole_picture_is_pillows_bicubic() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(60, 190, (32, 32, 3), dtype=np.uint8))
    matrix = train_demo.build_resampling_matrices(torch.zeros(1), torch.full((1,), 32.0), 32, 96)[0]
    channels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()
    resized = (matrix @ channels @ matrix.T).permute(1, 2, 0)
    expected = torch.from_numpy(np.array(picture.resize((96, 96), Image.Resampling.BICUBIC))).float()
    # Pillow rounds to bytes after each of its two passes.
    assert float((resized.clamp(0, 255) - expected).abs().max()) <= 1.5


def test_a_phase_is_read_and_its_rate_falls_from_start_to_end() -> None:
    phase = train_demo.TrainingPhase.parse("96x14:1e-3..2e-4")
    assert (phase.size, phase.epochs) == (96, 14)
    assert phase.rate(0.0) == pytest.approx(1e-3)
    assert phase.rate(0.5) == pytest.approx(6e-4)
    assert phase.rate(1.0) == pytest.approx(2e-4)


def test_augmented_images_are_normalised_and_of_the_size() -> None:
    pixels = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8)
    images = train_demo.augment(pixels, 64, torch.Generator().manual_seed(0), gentle=False)
    assert images.shape == (5, 3, 64, 64)
    assert float(images.abs().max()) < 3


def test_cutmix_keeps_targets_that_add_up_to_one() -> None:
    x, target = torch.randn(6, 3, 32, 32), torch.eye(6)
    mixed, mixture = train_demo.apply_cutmix(x, target, torch.Generator().manual_seed(1), 1.0)
    torch.testing.assert_close(mixture.sum(1), torch.ones(6))
    assert not torch.equal(mixed, x)
    untouched, same = train_demo.apply_cutmix(x, target, torch.Generator().manual_seed(1), 0.0)
    assert untouched is x
    assert same is target


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_orthogonalising_brings_every_singular_value_near_one(dtype: torch.dtype) -> None:
    matrix = torch.randn(24, 60, generator=torch.Generator().manual_seed(0))
    assert float(torch.linalg.svdvals(matrix / matrix.norm()).max()) < 0.5
    for given in (matrix, matrix.T):
        values = torch.linalg.svdvals(train_demo.orthogonalize(given, dtype, steps=5).float())
        assert 0.6 < float(values.min()) <= float(values.max()) < 1.3


def test_a_step_turns_a_kernel_downhill_and_keeps_its_length() -> None:
    kernel = torch.nn.Parameter(torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0)))
    goal = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    muon = train_demo.Muon([kernel], torch.float32)
    muon.param_groups[0]["lr"] = 0.1
    length, before = kernel.detach().norm(), float((kernel.detach() * goal).sum())
    (-(kernel * goal).sum()).backward()
    muon.step()
    torch.testing.assert_close(kernel.detach().norm(), length)
    assert float((kernel.detach() * goal).sum()) > before


def test_every_parameter_belongs_to_one_optimizer() -> None:
    model = create_shvit("shvit_s1", classes=10)
    kernels, others = train_demo.collect_dense_kernels(model), train_demo.collect_other_parameters(model)
    assert len(kernels) + len(others) == len(list(model.parameters()))
    assert not {id(kernel) for kernel in kernels} & {id(other) for other in others}
    assert sum(kernel.numel() for kernel in kernels) > 0.8 * sum(p.numel() for p in model.parameters())
