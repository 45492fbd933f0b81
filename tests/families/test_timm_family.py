"""timm's models load from their state dicts in the layouts that people have, and answer as timm's do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from shvit_mobile.contracts.preprocessing import Preprocessing
from shvit_mobile.deploy.exported_graph import has_batchnorm
from shvit_mobile.deploy.fold import to_deploy_form
from shvit_mobile.errors import BadCheckpoint, InvalidValue, NotSupported, ToolMissing
from shvit_mobile.families.any_module import wrap_module
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from shvit_mobile.families.timm_family import TIMM, create_timm_model, import_timm
from shvit_mobile.families.trained_model import TrainedModel, build_features
from shvit_mobile.metrics import sqnr
from shvit_mobile.pipeline.export import ExportConfig, export
from shvit_mobile.runtimes import open_runner
from tests.builders import draw_smooth_pixels

NAME = "mobilenetv3_small_050"


@pytest.fixture(scope="module", autouse=True)
def timm() -> Any:
    return pytest.importorskip("timm") if _is_broken() else import_timm("")


def _is_broken() -> bool:
    try:
        import_timm("")
    except ToolMissing:
        return True
    return False


@torch.no_grad()
def randomize(model: nn.Module, seed: int = 0, size: tuple[int, int] | None = None) -> nn.Module:
    """Norms far from the identity, statistics that fit the values, layer scales that let branches through."""
    generator = torch.Generator().manual_seed(seed)
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for name, parameter in model.named_parameters():
        if "gamma" in name or "layer_scale" in name:
            parameter.copy_(0.1 + 0.4 * torch.rand(parameter.shape, generator=generator))
    for norm in norms:
        norm.weight.copy_(0.5 + torch.rand(norm.weight.shape, generator=generator))
        norm.bias.copy_(0.3 * torch.randn(norm.bias.shape, generator=generator))
        norm.reset_running_stats()
        norm.momentum, norm.training = None, True
    size = size or model.pretrained_cfg["input_size"][1:]  # type: ignore[union-attr,index]
    model(torch.randn(4, 3, *size, generator=generator))
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()


@pytest.fixture(scope="module")
def model(timm: Any) -> nn.Module:
    torch.manual_seed(0)
    return randomize(create_timm_model(NAME, 7))


def save(state: Any, path: Path) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


def answer(module: nn.Module) -> Tensor:
    with torch.no_grad():
        return module(torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {"model": {f"_orig_mod.{name}": tensor.half() for name, tensor in state.items()}},
    ],
    ids=["bare", "nested", "parallel", "compiled"],
)
def test_a_state_dict_loads_with_any_number_of_classes(wrap: Any, model: nn.Module, tmp_path: Path) -> None:
    trained = load_checkpoint(save(wrap(model.state_dict()), tmp_path / "m.pth"), variant=f"timm:{NAME}")
    assert (trained.family, trained.variant, trained.dialect, trained.classes) == (TIMM, NAME, "timm", 7)
    torch.testing.assert_close(answer(trained.model), answer(model), rtol=2e-2, atol=2e-2)
    assert trained.preprocessing.size == (224, 224)


def test_the_architecture_is_read_from_the_config_beside_it(model: nn.Module, tmp_path: Path) -> None:
    save(model.state_dict(), tmp_path / "model.safetensors")
    config = {
        "architecture": NAME,
        "num_classes": 7,
        "pretrained_cfg": {"input_size": [3, 96, 96], "crop_pct": 0.9, "label_names": [f"kind {i}" for i in range(7)]},
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    trained = load_checkpoint(tmp_path)
    assert (trained.variant, trained.preprocessing.size, trained.labels[2]) == (NAME, (96, 96), "kind 2")


def test_the_architecture_is_read_from_the_training_arguments(model: nn.Module, tmp_path: Path) -> None:
    state = {"arch": NAME, "state_dict": model.state_dict(), "args": {"img_size": 128}}
    trained = load_checkpoint(save(state, tmp_path / "last.pth"))
    assert (trained.variant, trained.preprocessing.size) == (NAME, (128, 128))


def test_averages_are_chosen_by_name(model: nn.Module, tmp_path: Path) -> None:
    average = {name: tensor * 0.5 for name, tensor in model.state_dict().items()}
    path = save({"model": model.state_dict(), "model_ema": average}, tmp_path / "both.pth")
    first, second = (load_checkpoint(path, variant=f"timm:{NAME}", weights=name) for name in (None, "model_ema"))
    assert first.weights_found == second.weights_found == ("model", "model_ema")
    assert (first.weights, second.weights) == ("model", "model_ema")
    assert first.sha256 != second.sha256
    assert any("contains 2 models" in note for note in first.notes)


def test_weights_that_are_trained_come_before_their_averages_and_copies(model: nn.Module, tmp_path: Path) -> None:
    state = model.state_dict()
    average = {name: tensor * 0.5 for name, tensor in state.items()}
    content = {"model_ema": average, "model": state, "best": dict(state), "optimizer": {"step": torch.ones(3)}}
    path = save(content, tmp_path / "all.pth")
    trained = load_checkpoint(path, variant=f"timm:{NAME}")
    assert (trained.weights, trained.weights_found) == ("model", ("model", "model_ema"))
    assert any("optimizer" in note and "ignored" in note for note in trained.notes)
    with pytest.raises(BadCheckpoint, match="contains no weights 'model_emu'") as caught:
        load_checkpoint(path, variant=f"timm:{NAME}", weights="model_emu")
    assert "model_ema" in caught.value.hint


def test_views_that_claim_more_than_the_file_holds_are_refused(model: nn.Module, tmp_path: Path) -> None:
    state = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in model.state_dict().items()}
    with pytest.raises(BadCheckpoint, match="claims more weights than fit"):
        load_checkpoint(save(state, tmp_path / "m.pth"), variant=f"timm:{NAME}")


def test_weights_that_two_names_share_load(model: nn.Module, tmp_path: Path) -> None:
    content = {"model": model.state_dict(), "copies": [model.state_dict() for _ in range(3)]}
    assert load_checkpoint(save(content, tmp_path / "m.pth"), variant=f"timm:{NAME}").weights == "model"


def test_a_file_that_names_another_architecture_or_number_of_classes_is_noted(model: nn.Module, tmp_path: Path) -> None:
    content = {"arch": "mobilenetv3_large_100", "state_dict": model.state_dict(), "args": {"num_classes": 9}}
    notes = load_checkpoint(save(content, tmp_path / "m.pth"), variant=f"timm:{NAME}").notes
    assert any("names mobilenetv3_large_100, but" in note for note in notes)
    assert any("name 9 classes, but" in note for note in notes)


def test_another_model_is_refused_with_what_does_not_fit(model: nn.Module, tmp_path: Path) -> None:
    path = save(model.state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(BadCheckpoint, match="is not a complete mobilenetv3_large_100"):
        load_checkpoint(path, variant="timm:mobilenetv3_large_100")
    with pytest.raises(BadCheckpoint, match="contains no repvit_m0_9"):
        load_checkpoint(path, variant="timm:repvit_m0_9")


def test_a_name_that_timm_does_not_have_is_refused_with_similar_ones(model: nn.Module, tmp_path: Path) -> None:
    path = save(model.state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(InvalidValue, match=r"timm has no model 'mobilenetv3_smal'") as caught:
        load_checkpoint(path, variant="timm:mobilenetv3_smal")
    assert "mobilenetv3" in caught.value.hint


def test_weights_without_a_value_are_refused(model: nn.Module, tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["conv_stem.weight"][0] = float("nan")
    with pytest.raises(BadCheckpoint, match=r"conv_stem\.weight contains NaN"):
        load_checkpoint(save(state, tmp_path / "m.safetensors"), variant=f"timm:{NAME}")


def test_a_lost_tensor_is_named(model: nn.Module, tmp_path: Path) -> None:
    state = dict(model.state_dict())
    del state["blocks.1.0.bn2.bias"]
    with pytest.raises(BadCheckpoint, match=r"blocks\.1\.0\.bn2\.bias is missing"):
        load_checkpoint(save(state, tmp_path / "m.safetensors"), variant=f"timm:{NAME}")


def test_a_saved_model_needs_no_name(model: nn.Module, tmp_path: Path) -> None:
    path = save(model.state_dict(), tmp_path / "m.safetensors")
    labels, size = tuple("abcdefg"), Preprocessing(size=(96, 64))
    trained = load_checkpoint(path, variant=f"timm:{NAME}", labels=labels, preprocessing=size)
    save_checkpoint(trained, tmp_path / "again.safetensors")
    again = load_checkpoint(tmp_path / "again.safetensors")
    assert (again.variant, again.family, again.dialect) == (NAME, TIMM, "shvit-mobile")
    assert (again.labels, again.preprocessing) == (labels, size)
    for key, tensor in trained.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[key], tensor), key
    with pytest.raises(BadCheckpoint):
        load_checkpoint(tmp_path / "again.safetensors", variant="shvit_s1")


def test_a_module_of_no_family_is_not_saved(tmp_path: Path) -> None:
    module = wrap_module(nn.Conv2d(3, 2, 1), labels=["a", "b"], preprocessing=Preprocessing(size=(8, 8)))
    with pytest.raises(NotSupported, match="cannot be saved"):
        save_checkpoint(module, tmp_path / "again.safetensors")


@pytest.mark.parametrize("name", [NAME, "repvit_m0_9", "fastvit_t8", "efficientvit_m0"])
def test_all_batchnorms_of_the_neighbours_fold_exactly(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = randomize(create_timm_model(name, 5))
    path = save({key: value.contiguous() for key, value in model.state_dict().items()}, tmp_path / "m.pth")
    trained = load_checkpoint(path, variant=f"timm:{name}")
    deployed = to_deploy_form(trained)
    assert has_batchnorm(trained.model)
    assert not has_batchnorm(deployed.module)
    # In float64: these random networks make a difference of one bit in float32 a hundred thousand times larger.
    assert deployed.error < 1e-10
    assert len(deployed.first_layers) == 1


# By model, the strides of its maps. Of a ViT's twelve equal strides, the last layer counts.
STRIDES = {
    "mobilenetv3_small_050": (4, 8, 16, 32),
    "repvit_m0_9": (4, 8, 16, 32),
    "efficientvit_m0": (16, 32, 64),
    "vit_tiny_patch16_224": (16,),
}


@torch.no_grad()
def record_stages(model: nn.Module, images: Tensor) -> list[Tensor]:
    """The outputs of the modules that timm names as the ends of stages, in the whole model."""
    outputs: dict[str, Tensor] = {}
    for name in [stage["module"] for stage in model.feature_info]:  # type: ignore[union-attr]
        model.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: outputs.__setitem__(name, output)  # type: ignore[misc]
        )
    model(images)
    return [outputs[stage["module"]] for stage in model.feature_info if stage["reduction"] >= 4]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", STRIDES)
def test_maps_are_the_outputs_of_the_stages(name: str) -> None:
    torch.manual_seed(0)
    whole = randomize(create_timm_model(name, 7)).double()
    trained = TrainedModel(whole, TIMM, name, "timm", tuple("abcdefg"), Preprocessing(), "file", "0" * 64)
    features = build_features(trained)
    assert (features.task, features.labels) == ("features", ())
    assert set(map(id, features.model.parameters())) <= set(map(id, whole.parameters()))
    deployed = to_deploy_form(features)  # compared with the maps in float64
    assert tuple(one.stride for one in deployed.output.maps) == STRIDES[name]
    assert not has_batchnorm(deployed.module)
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        actual = features.model(images)
    for one, wanted in zip(actual, record_stages(whole, images)[-len(actual) :], strict=True):
        # A ViT's tokens: the first is of the class.
        expected = wanted if wanted.ndim == 4 else wanted[:, 1:].transpose(1, 2).reshape(one.shape)
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


def test_a_model_without_known_stages_is_refused() -> None:
    blank = create_timm_model(NAME, 7)
    blank.feature_info = []
    trained = TrainedModel(blank, TIMM, NAME, "timm", tuple("abcdefg"), Preprocessing(), "file", "0" * 64)
    with pytest.raises(NotSupported) as refusal:
        build_features(trained)
    assert refusal.value.parameter == "task"


def test_maps_of_a_checkpoint_are_exported(model: nn.Module, tmp_path: Path) -> None:
    path = save(model.state_dict(), tmp_path / "model.pth")
    config = ExportConfig(
        checkpoint=path,
        variant=f"timm:{NAME}",
        task="features",
        size=(96, 64),
        targets=["onnx", "executorch"],
        precisions=["fp32"],
        out=tmp_path / "out",
    )
    pixels = draw_smooth_pixels(1, (96, 64)).permute(0, 2, 3, 1).byte().numpy()
    reference = to_deploy_form(config.load_model()).run_outputs(pixels)
    for artifact in export(config).artifacts:
        assert list(artifact.manifest.output_shapes) == ["stride4", "stride8", "stride16", "stride32"]
        for name, values in open_runner(artifact).run_outputs(pixels).items():
            assert sqnr(reference[name].reshape(1, -1).numpy(), values.reshape(1, -1)) > 90, name
        if artifact.manifest.delegation:
            assert (artifact.manifest.delegation.delegates, artifact.manifest.delegation.left_operators) == (1, {})
