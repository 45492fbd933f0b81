"""Any classifier that torch.export accepts goes the way of a checkpoint, from Python."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shvit_mobile import ExportConfig, Preprocessing, export, wrap_module
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.errors import ConflictingParameters, InvalidConfig, InvalidValue, NotSupported
from shvit_mobile.families.trained_model import TrainedModel

SIZE = (33, 40)
LABELS = ["ant", "bee", "cat", "dog", "elk"]


class Classifier(nn.Module):
    """Two convolutions with BatchNorms, one of them behind its layer, and a hidden linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.SiLU())
        self.norm, self.body = nn.BatchNorm2d(8), nn.Conv2d(8, 12, 2)
        self.hidden, self.head = nn.Linear(12, 16), nn.Linear(16, len(LABELS))

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.norm(self.stem(x))).relu().mean((2, 3), keepdim=True).flatten(1)
        return self.head(nn.functional.gelu(self.hidden(x)))


def build_classifier(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    model = Classifier().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model


def wrap(model: nn.Module, labels: list[str] = LABELS, name: str = "pets") -> TrainedModel:
    return wrap_module(model, labels=labels, preprocessing=Preprocessing(size=SIZE), name=name)


def test_its_batchnorms_fold_into_the_layer_before_and_into_the_one_behind() -> None:
    trained = wrap(build_classifier())
    deployed = to_deploy_form(trained)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in deployed.module.modules())
    assert deployed.error < 1e-12
    assert deployed.first_layers == ("model.stem.0",)
    pixels = torch.randint(0, 256, (2, *SIZE, 3), dtype=torch.uint8).numpy()
    with torch.no_grad():
        reference = trained.model(torch.from_numpy(trained.preprocessing.normalize(pixels)))
    torch.testing.assert_close(deployed.run(pixels), reference, rtol=1e-4, atol=1e-4)


def test_the_library_exports_it_as_the_command_line_does_a_file(tmp_path: Path) -> None:
    config = ExportConfig(
        checkpoint=wrap(build_classifier()), targets=["executorch"], precisions=["fp32"], out=tmp_path
    )
    result = export(config)
    (artifact,) = result.artifacts
    assert artifact.path.name == "pets-33x40-executorch-fp32.pte"
    assert artifact.manifest.labels == tuple(LABELS)
    assert artifact.manifest.model.dialect == "module"
    assert artifact.manifest.delegation is not None
    assert artifact.manifest.delegation.delegates == 1


def test_the_same_weights_have_the_same_sha256_and_others_another() -> None:
    first, again, other = (wrap(build_classifier(seed)) for seed in (0, 0, 1))
    assert first.sha256 == again.sha256 != other.sha256


def test_a_number_of_labels_that_the_logits_do_not_have_is_refused() -> None:
    with pytest.raises(NotSupported, match=r"returns \(2, 5\) for 2 images, not logits of 4 classes"):
        to_deploy_form(wrap(build_classifier(), LABELS[:4]))


def test_what_torch_export_does_not_accept_is_refused_with_its_reason() -> None:
    class Branching(Classifier):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if x.sum() > 0 else super().forward(-x)

    with pytest.raises(NotSupported, match=r"torch\.export does not accept Branching"):
        to_deploy_form(wrap(Branching().eval()))


def test_a_name_is_the_beginning_of_a_file_name() -> None:
    for name in ("", "../x", "a b", "a/b"):
        with pytest.raises(InvalidValue, match="`name` is"):
            wrap(build_classifier(), name=name)


def test_options_on_how_a_file_is_read_are_refused() -> None:
    with pytest.raises((ConflictingParameters, InvalidConfig), match="is given with a loaded model"):
        ExportConfig(
            checkpoint=wrap(build_classifier()), weights="ema", targets=["executorch"], precisions=["fp32"]
        ).load_model()
