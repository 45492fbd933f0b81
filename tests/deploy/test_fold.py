"""The deploy form answers as the trained model does, and says so itself."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.deploy import fold as fusing
from shvit_mobile.deploy.fold import fold_batchnorm, to_deploy_form
from shvit_mobile.deploy.verification import generate_pixels
from shvit_mobile.errors import InvalidConfig, VerificationFailed
from shvit_mobile.families import batchnorm, shvit_family
from shvit_mobile.families.any_module import wrap_module
from shvit_mobile.families.shvit import VARIANTS, Residual, SingleHeadAttention
from shvit_mobile.quantize.layers import find_dense_layers
from tests import builders
from tests.builders import TINY, build_random_shvit, build_trained_model


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("distilled", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_deploy_form_keeps_the_logits(variant: str, distilled: bool) -> None:
    model = build_trained_model(build_random_shvit(variant, classes=10, distilled=distilled), size=(97, 65))
    deployed = to_deploy_form(model)
    pixels = generate_pixels(model).float()
    reference = model.model(fusing.normalize_pixels(pixels, model.preprocessing))
    assert reference.std() > 0.05, "a model that answers the same to everything proves nothing"
    torch.testing.assert_close(deployed.module(pixels), reference, rtol=1e-4, atol=1e-4)
    assert deployed.error < 1e-12
    assert norms(deployed.module) == 0
    assert deployed.module.head_dist is None


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
def test_the_identity_is_folded_for_any_kernel_size(kernel_size: int) -> None:
    model = build_random_shvit(replace(TINY, kernel_size=kernel_size))
    fused = fold_batchnorm(build_trained_model(model.double()))
    images = torch.randn(2, 3, 45, 71, dtype=torch.float64)
    torch.testing.assert_close(fused(images), model(images), rtol=1e-9, atol=1e-9)
    assert not any(isinstance(block.conv, Residual) for stage in fused.stages for block in stage.blocks)


def test_the_norms_affine_part_and_the_scale_are_folded() -> None:
    model = build_random_shvit("shvit_s1", classes=10)
    attentions = [m for m in fold_batchnorm(build_trained_model(model)).modules() if isinstance(m, SingleHeadAttention)]
    assert len(attentions) == sum(isinstance(m, SingleHeadAttention) for m in model.modules()) > 0
    for attention in attentions:
        assert attention.scale == 1
        assert not list(attention.pre_norm.parameters())


def test_a_wrong_fold_of_the_attention_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_bias(attention: nn.Module) -> nn.Module:
        changed = deepcopy(attention)
        changed.pre_norm.bias.zero_()
        return shvit_family.fold_attention_norm(changed)

    folds = {**shvit_family.SHVIT.folds, SingleHeadAttention: without_bias}
    monkeypatch.setattr(builders, "SHVIT", replace(shvit_family.SHVIT, folds=folds))
    with pytest.raises(VerificationFailed, match="a fold of SingleHeadAttention differs"):
        fold_batchnorm(build_trained_model(build_random_shvit()))


def test_fusing_again_changes_nothing() -> None:
    once = fold_batchnorm(build_trained_model(build_random_shvit()))
    again = fold_batchnorm(build_trained_model(once))
    assert once.state_dict().keys() == again.state_dict().keys()
    for name, tensor in once.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_the_original_is_left_as_it_was() -> None:
    model = build_random_shvit(distilled=True).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    to_deploy_form(build_trained_model(model))
    assert model.training
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert next(model.parameters()).dtype == torch.float32


def test_a_model_in_train_mode_is_fused_as_in_eval_mode() -> None:
    model = build_random_shvit()
    images = torch.randn(1, 3, 64, 64)
    reference = model(images)
    fused = fold_batchnorm(build_trained_model(model.train()))
    assert not any(module.training for module in fused.modules())
    torch.testing.assert_close(fused(images), reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    deployed = to_deploy_form(build_trained_model(build_random_shvit().to(dtype)))
    assert {tensor.dtype for tensor in deployed.module.state_dict().values()} == {dtype}


def test_without_baked_normalisation_the_module_takes_normalised_images() -> None:
    model = build_trained_model(build_random_shvit())
    deployed = to_deploy_form(model, normalise=False)
    images = torch.randn(2, 3, 64, 64)
    assert deployed.input_domain == "normalised"
    torch.testing.assert_close(deployed.module(images), model.model(images), rtol=1e-4, atol=1e-5)


def test_baked_normalisation_is_exact_at_the_border() -> None:
    # The stem pads with zeros after normalisation. Folding the mean into a bias would be wrong in the outermost rows
    # and columns alone, so the picture is small enough to be nearly all border.
    model = build_trained_model(build_random_shvit(), size=(3, 5))
    strong = replace(model, preprocessing=Preprocessing(size=(3, 5), mean=(0.9, 0.1, 0.5), std=(0.05, 0.5, 1.0)))
    assert to_deploy_form(strong).error < 1e-12


def test_a_fold_that_is_not_exact_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
        return norm.weight / torch.sqrt(norm.running_var), norm.bias * 1.0

    monkeypatch.setattr(batchnorm, "compute_scale_and_shift", forgetful)
    with pytest.raises(VerificationFailed, match="a fold of ConvNorm differs from its original"):
        to_deploy_form(build_trained_model(build_random_shvit()))


def test_a_wrong_normalisation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def off(fused: nn.Module, entry: nn.Sequential, first: tuple[str, ...], preprocessing: Preprocessing) -> None:
        bake(fused, entry, first, replace(preprocessing, mean=(0.485, 0.456, 0.4061)))

    bake = fusing.bake_normalization
    monkeypatch.setattr(fusing, "bake_normalization", off)
    with pytest.raises(VerificationFailed, match="the deploy form differs from its original"):
        to_deploy_form(build_trained_model(build_random_shvit()))


def test_infinite_statistics_are_refused() -> None:
    model = build_random_shvit()
    model.patch_embed[0].bn.running_mean[0] = float("inf")
    with pytest.raises(VerificationFailed, match="infinities or NaN"):
        to_deploy_form(build_trained_model(model))


def test_a_model_that_takes_no_pictures_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="does not run on color images"):
        to_deploy_form(build_trained_model(build_random_shvit(replace(TINY, in_channels=1))))


class PositionNet(nn.Module):
    """A classifier that adds a projection of each position, which is the same for every image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.project, self.norm = nn.Conv2d(3, 6, 3), nn.Conv2d(2, 6, 1), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        rows, columns = (torch.arange(size).to(self.project.weight) for size in x.shape[2:])
        positions = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(x), -1, -1, -1)
        encoding = self.norm(self.project(positions)).reshape(len(x), -1, *x.shape[2:])
        return self.head(torch.relu(x + encoding).mean((2, 3)))


def test_a_layer_that_no_image_reaches_becomes_its_output() -> None:
    torch.manual_seed(0)
    trained = wrap_module(PositionNet().eval(), labels=list("abcd"), preprocessing=Preprocessing(size=(16, 20)))
    deployed = to_deploy_form(trained)
    assert [call.name for call in deployed.wiring.calls if call.kind != "residual"] == ["model.stem", "model.head"]
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 20, 3), dtype=np.uint8)
    images = torch.from_numpy(trained.preprocessing.normalize(pixels))
    torch.testing.assert_close(deployed.run(pixels), trained.model(images), rtol=1e-4, atol=1e-4)
    assert {name for name, _ in find_dense_layers(deployed.module)} == {"model.stem"}
