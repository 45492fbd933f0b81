"""Classifiers: what equals a BatchNorm and a linear layer exactly is loaded, and what does not is named."""

from functools import cache

import pytest
import torch
from torch import nn

from shvit_mobile.errors import BadCheckpoint, InvalidValue
from shvit_mobile.families.checkpoints import load_checkpoint, save_checkpoint
from tests.builders import build_random_shvit
from tests.families.layouts import official_state

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
LINEAR = nn.Linear(32, 7)


@cache
def tiny(classes=7, distilled=False):
    return build_random_shvit(classes=classes, distilled=distilled)


def body(tensors):
    return {name: value for name, value in tensors.items() if not name.startswith("head")}


def load(tmp_path, tensors, **options):
    torch.save(tensors, tmp_path / "model.pth")
    return load_checkpoint(tmp_path / "model.pth", **options)


@torch.no_grad()
def compute_features():
    return tiny().forward_features(IMAGES).mean((2, 3))


def linear(prefix, layer=LINEAR):
    return {f"{prefix}.{name}": value.detach() for name, value in layer.state_dict().items()}


LINEARS = {
    "head": linear("head"),
    "behind a Dropout": linear("head.1"),
    "fc": linear("fc"),
    "classifier": linear("classifier"),
    "in a module": linear("head.fc"),
    "a 1x1 convolution": {"head.weight": LINEAR.weight.detach()[:, :, None, None], "head.bias": LINEAR.bias.detach()},
}


@pytest.mark.parametrize("layout", [lambda model: model.state_dict(), official_state], ids=["timm", "official"])
@pytest.mark.parametrize("head", LINEARS.values(), ids=LINEARS)
@torch.no_grad()
def test_a_linear_layer_alone_gives_its_logits_to_the_bit(head, layout, tmp_path):
    loaded = load(tmp_path, {**body(layout(tiny())), **head})
    assert torch.equal(loaded.model(IMAGES), LINEAR(compute_features()))
    assert "BatchNorm" in loaded.notes[0]


@torch.no_grad()
def test_a_linear_layer_without_a_bias_gives_its_logits(tmp_path):
    loaded = load(tmp_path, {**body(tiny().state_dict()), "fc.weight": LINEAR.weight.detach()})
    assert torch.equal(loaded.model(IMAGES), LINEAR(compute_features()) - LINEAR.bias) or torch.allclose(
        loaded.model(IMAGES), LINEAR(compute_features()) - LINEAR.bias, atol=1e-6
    )


@torch.no_grad()
def test_a_classifier_beside_the_backbone_is_found(tmp_path):
    features = body(tiny().state_dict())
    for backbone, head in (
        ("backbone", "head"),
        ("model.encoder", "model.classifier.1"),
        ("0", "1"),
        ("net.0", "net.2"),
    ):
        tensors = {f"{backbone}.{name}": value for name, value in features.items()} | linear(head)
        assert torch.equal(load(tmp_path, tensors).model(IMAGES), LINEAR(compute_features())), head


@torch.no_grad()
def test_a_batchnorm_before_the_linear_layer_is_kept_under_any_name(tmp_path):
    head = {"l": "1", "bn": "0"}
    tensors = {
        ".".join(head.get(word, word) if name.startswith("head") else word for word in name.split(".")): value
        for name, value in tiny().state_dict().items()
    }
    loaded = load(tmp_path, tensors)
    assert torch.equal(loaded.model(IMAGES), tiny()(IMAGES))
    assert not loaded.notes


@torch.no_grad()
def test_two_plain_heads_of_distillation_are_averaged(tmp_path):
    second = nn.Linear(32, 7)
    loaded = load(tmp_path, {**body(tiny().state_dict()), **linear("head"), **linear("head_dist", second)})
    features = compute_features()
    assert torch.equal(loaded.model(IMAGES), (LINEAR(features) + second(features)) / 2)


OTHERS = {
    "two layers": (
        {**linear("head.0", nn.Linear(32, 64)), **linear("head.2", nn.Linear(64, 7))},
        "head.0.weight (64, 32)",
    ),
    "another width": (linear("fc", nn.Linear(64, 7)), "fc.weight (7, 64)"),
    "a LayerNorm": ({**linear("head.0", nn.LayerNorm(32)), **linear("head.1")}, "head.0.weight (32,)"),
    "a BatchNorm behind": (
        {**linear("head.0", nn.Linear(32, 32)), **linear("head.1", nn.BatchNorm1d(32))},
        "head.0.weight (32, 32)",
    ),
    "an unusual name": (linear("projection"), "projection.weight (7, 32)"),
    "two classifiers": ({**linear("fc"), **linear("classifier")}, "fc, classifier"),
}


@pytest.mark.parametrize(("head", "part"), OTHERS.values(), ids=OTHERS)
def test_another_classifier_is_named(head, part, tmp_path):
    with pytest.raises(BadCheckpoint) as caught:
        load(tmp_path, {**body(tiny().state_dict()), **head})
    assert part in caught.value.why
    assert "no classifier" not in str(caught.value)


def test_a_head_that_lost_its_batchnorm_is_told_what_is_missing(tmp_path):
    tensors = {name: value for name, value in tiny().state_dict().items() if not name.startswith("head.bn")}
    with pytest.raises(BadCheckpoint, match=r"head\.bn\.weight is missing") as caught:
        load(tmp_path, tensors)
    assert "head.weight" in caught.value.hint


@pytest.mark.parametrize("distilled", [False, True])
@pytest.mark.parametrize("layout", [lambda model: model.state_dict(), official_state], ids=["timm", "official"])
@torch.no_grad()
def test_one_logit_becomes_two_classes_with_the_same_probability(layout, distilled, tmp_path):
    source = tiny(1, distilled)
    loaded = load(tmp_path, layout(source))
    probability = source(IMAGES).sigmoid()[:, 0]
    torch.testing.assert_close(loaded.model(IMAGES).softmax(1)[:, 1], probability)
    assert (loaded.labels, loaded.model.config.classes) == (("class 0", "class 1"), 2)
    assert "logit" in loaded.notes[0]
    save_checkpoint(loaded, tmp_path / "own.safetensors")
    assert torch.equal(load_checkpoint(tmp_path / "own.safetensors").model(IMAGES), loaded.model(IMAGES))


def test_one_logit_takes_two_labels(tmp_path):
    assert load(tmp_path, tiny(1).state_dict(), labels=["cat", "dog"]).labels == ("cat", "dog")
    assert load(tmp_path, {"model": tiny(1).state_dict(), "class_names": ["dog"]}).labels == ("not dog", "dog")
    with pytest.raises(InvalidValue) as caught:
        load(tmp_path, tiny(1).state_dict(), labels=["dog"])
    assert caught.value.parameter == "labels"
