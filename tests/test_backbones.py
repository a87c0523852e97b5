"""Every backbone: its shape, its names, its checkpoints."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from sameplace.errors import MissingExtra, ModelError
from sameplace.network import backbones
from sameplace.network.backbones import Backbone, rebuild
from sameplace.network.backbones.efficientnet import ConvolutionLayer, SameConvolution

SMALL = [
    (lambda: backbones.vgg16(cut="conv2_2"), 128, 2),
    (lambda: backbones.resnet18(cut="conv4"), 256, 16),
    (lambda: backbones.resnet50(cut="conv4"), 1024, 16),
    (lambda: backbones.resnet18(cut="conv5"), 512, 32),
    (backbones.mobilenet_v2, 96, 16),
    (backbones.efficientnet_lite0, 112, 16),
    (backbones.efficientnet_lite2, 120, 16),
]


@pytest.mark.parametrize(("make", "channels", "stride"), SMALL)
def test_a_backbone_gives_the_map_it_promises(make, channels: int, stride: int) -> None:
    backbone = make().eval()
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, 64, 96))
    assert maps.shape == (1, channels, 64 // stride, 96 // stride)
    assert (backbone.channels, backbone.stride) == (channels, stride)


@pytest.mark.parametrize(("make", "channels", "stride"), SMALL)
def test_a_backbone_is_built_again_from_its_recipe(make, channels: int, stride: int) -> None:
    backbone = make()
    again = rebuild(backbone.recipe)
    assert [(name, tensor.shape) for name, tensor in again.state_dict().items()] == [
        (name, tensor.shape) for name, tensor in backbone.state_dict().items()
    ]


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (backbones.vgg16, 14_714_688),
        (lambda: backbones.resnet18(cut="conv5"), 11_176_512),
        (lambda: backbones.resnet50(cut="conv5"), 23_508_032),
        (lambda: backbones.mobilenet_v2(cut="18"), 2_223_872),
    ],
    ids=["vgg16", "resnet18", "resnet50", "mobilenet_v2"],
)
def test_the_trunk_has_as_many_parameters_as_published(make, parameters: int) -> None:
    assert sum(parameter.numel() for parameter in make().parameters()) == parameters


def test_vgg_ends_before_the_relu_of_its_last_layer() -> None:
    trunk = backbones.vgg16(cut="conv3_3").features
    assert isinstance(trunk, nn.Sequential)
    assert isinstance(trunk[-1], nn.Conv2d)


def test_a_checkpoint_of_the_whole_network_fills_the_trunk(tmp_path: Path) -> None:
    whole = backbones.vgg16(cut="conv2_1").features.state_dict()
    checkpoint = {f"features.{name}": tensor + 1 for name, tensor in whole.items()} | {"classifier.0.weight": torch.zeros(3, 3)}
    torch.save(checkpoint, tmp_path / "vgg16.pth")
    save_file(checkpoint, tmp_path / "vgg16.safetensors")
    for file in ("vgg16.pth", "vgg16.safetensors"):
        filled = backbones.vgg16(cut="conv1_2", weights=tmp_path / file).features.state_dict()
        assert all(torch.equal(tensor, checkpoint[f"features.{name}"]) for name, tensor in filled.items())


def test_the_original_weights_take_undivided_pixels_and_torchvisions_divided_ones() -> None:
    original, torchvision = backbones.vgg16(cut="conv1_1"), backbones.vgg16(cut="conv1_1", original_weights=False)
    assert original.deviation.flatten().tolist() == [1, 1, 1]
    assert torchvision.deviation.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])


def test_torchvisions_names_of_resnet_are_ours() -> None:
    names = backbones.resnet50(cut="conv5").features.state_dict()
    for name in ("conv1.weight", "bn1.running_var", "layer1.0.downsample.1.bias", "layer4.2.conv3.weight"):
        assert name in names


def test_both_of_torchvisions_namings_of_mobilenet_are_read() -> None:
    nested = {
        f"features.{name}": torch.randn_like(t.float()).to(t.dtype)
        for name, t in backbones.mobilenet_v2(cut="3").features.state_dict().items()
    }
    old_places = {1: {"0.0": 0, "0.1": 1, "1": 3, "2": 4}, 2: {"0.0": 0, "0.1": 1, "1.0": 3, "1.1": 4, "2": 6, "3": 7}}
    old = {}
    for name, tensor in nested.items():
        parts = name.split(".")
        if parts[2] == "conv":
            places = old_places[1 if parts[1] == "1" else 2]
            parts = [*parts[:3], str(places[".".join(parts[3:-1])]), parts[-1]]
        old[".".join(parts)] = tensor
    one, other = backbones.mobilenet_v2(cut="3", weights=nested), backbones.mobilenet_v2(cut="3", weights=old)
    assert all(torch.equal(one.state_dict()[name], tensor) for name, tensor in other.state_dict().items())


def test_the_circulating_names_of_efficientnet_are_read() -> None:
    ours = {
        name: torch.randn_like(tensor.float()).to(tensor.dtype)
        for name, tensor in backbones.efficientnet_lite0(cut="block1").features.state_dict().items()
    }
    circulating = {}
    for name, tensor in ours.items():
        for old, new in (
            ("_conv_stem.", "stem.convolution."),
            ("_bn0.", "stem.normalisation."),
            *((f"_blocks.{b}._{old}.", f"block{b}.{new}.") for b in (0, 1) for old, new in (
                ("expand_conv", "expand.convolution"), ("bn0", "expand.normalisation"), ("depthwise_conv", "depthwise.convolution"),
                ("bn1", "depthwise.normalisation"), ("project_conv", "project.convolution"), ("bn2", "project.normalisation"))),
        ):  # fmt: skip
            if name.startswith(new):
                circulating[old + name.removeprefix(new)] = tensor
    filled = backbones.efficientnet_lite0(cut="block1", weights=circulating).features.state_dict()
    assert all(torch.equal(filled[name], tensor) for name, tensor in ours.items())


@pytest.mark.parametrize(("length", "kernel", "stride"), [(8, 3, 2), (9, 3, 2), (8, 5, 2), (7, 5, 1), (5, 1, 1)])
def test_padding_is_tensorflows(length: int, kernel: int, stride: int) -> None:
    """Output = ceil(input / stride), and the odd pixel of padding goes to the right and below."""
    layer = SameConvolution(1, 1, kernel, stride=stride, bias=False)
    nn.init.ones_(layer.weight)
    summed = layer(torch.ones(1, 1, length, length)).detach()
    assert summed.shape[2:] == (-(-length // stride),) * 2
    padding = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    assert float(summed[0, 0, 0, 0]) == (kernel - padding // 2) ** 2


@pytest.mark.parametrize("activated", [True, False])
@pytest.mark.parametrize(("stride", "groups", "shape"), [(1, 1, (9, 12)), (1, 6, (9, 12)), (2, 6, (9, 12)), (2, 1, (9, 9))])
def test_a_learning_layer_of_fixed_statistics_gives_maps_and_gradients_of_its_parts(
    stride: int, groups: int, shape: tuple[int, int], activated: bool
) -> None:
    torch.manual_seed(0)
    layer = ConvolutionLayer(6, 6, 5, stride=stride, groups=groups, activated=activated).double().eval()
    norm = layer.normalisation
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(tensor, 0.5, 3.0)
    maps = (20 * torch.randn(2, 6, *shape, dtype=torch.float64)).requires_grad_()
    learning = [maps, layer.convolution.weight, norm.weight, norm.bias]
    made = layer(maps)
    expected = norm(layer.convolution(maps))
    expected = F.relu6(expected) if activated else expected
    torch.testing.assert_close(made, expected)
    with torch.no_grad():
        torch.testing.assert_close(layer(maps), expected)
    direction = torch.randn_like(expected)
    for slope, wanted in zip(
        torch.autograd.grad((made * direction).sum(), learning),
        torch.autograd.grad((expected * direction).sum(), learning),
        strict=True,
    ):
        assert bool(wanted.any())
        torch.testing.assert_close(slope, wanted)


def test_only_the_layers_from_the_chosen_one_on_learn() -> None:
    trunk = backbones.vgg16(cut="conv2_2", trainable_from="conv2_1").features
    learning = {name for name, parameter in trunk.named_parameters() if parameter.requires_grad}
    assert learning == {"5.weight", "5.bias", "7.weight", "7.bias"}
    assert not any(parameter.requires_grad for parameter in backbones.vgg16(cut="conv2_2").parameters())
    assert all(parameter.requires_grad for parameter in backbones.vgg16(cut="conv2_2", trainable_from="all").parameters())


def test_frozen_batch_normalisation_keeps_its_statistics_in_training() -> None:
    backbone = backbones.resnet18(cut="conv3", trainable_from="conv3").train()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items() if "running_mean" in name}
    backbone(torch.rand(2, 3, 32, 32) * 255)
    after = backbone.state_dict()
    assert torch.equal(after["features.bn1.running_mean"], before["features.bn1.running_mean"])
    assert not torch.equal(after["features.layer2.0.bn1.running_mean"], before["features.layer2.0.bn1.running_mean"])


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: backbones.vgg16(cut="pool3"), "cut at a convolution"),
        (lambda: backbones.vgg16(cut="conv6_1"), "choose one of"),
        (lambda: backbones.resnet18(cut="layer3"), "choose one of conv1"),
        (lambda: backbones.resnet18(trainable_from="conv9"), "or all"),
    ],
)
def test_a_layer_that_does_not_exist_is_refused_with_those_that_do(call, cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        call()


def test_wrong_checkpoints_are_refused_with_the_first_thing_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No checkpoint lies at"):
        backbones.resnet18(weights=tmp_path / "nothing.pth")
    with pytest.raises(ModelError, match="of another network"):
        backbones.resnet18(weights={"features.0.weight": torch.zeros(1)})
    narrow = {name: tensor[:3] for name, tensor in backbones.vgg16(cut="conv1_1").features.state_dict().items()}
    with pytest.raises(ModelError, match="another width"):
        backbones.vgg16(cut="conv1_1", weights=narrow)


def test_an_unknown_backbone_in_a_model_file_is_named() -> None:
    with pytest.raises(ModelError, match="knows no backbone 'alexnet'"):
        rebuild({"backbone": "alexnet"})


def test_a_transformers_backbone_is_read_from_a_local_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    resnet = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    transformers.ResNetModel(resnet).save_pretrained(tmp_path / "resnet")
    maps = backbones.transformers_backbone(str(tmp_path / "resnet"))(torch.rand(2, 3, 64, 64))
    assert maps.shape == (2, 8, 8, 8)


def test_a_vision_transformers_tokens_become_the_grid_of_its_patches(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    configuration = transformers.Dinov2Config(
        hidden_size=12, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    transformers.Dinov2Model(configuration).save_pretrained(tmp_path / "dino")
    backbone = backbones.transformers_backbone(str(tmp_path / "dino")).eval()
    assert (backbone.channels, backbone.stride) == (12, 14)
    images = torch.rand(1, 3, 28, 42) * 255
    with torch.no_grad():
        maps = backbone(images)
        tokens = backbone.features.model((images - backbone.mean) / backbone.deviation, output_hidden_states=True).hidden_states[-1]
    assert maps.shape == (1, 12, 2, 3)
    assert torch.equal(maps[0, :, 1, 2], tokens[0, -1])


def test_a_hierarchical_transformers_tokens_keep_their_own_grid(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    configuration = transformers.SwinConfig(
        embed_dim=8, depths=[1, 1], num_heads=[1, 2], image_size=32, patch_size=2, window_size=4
    )
    transformers.SwinModel(configuration).save_pretrained(tmp_path / "swin")
    backbone = backbones.transformers_backbone(str(tmp_path / "swin")).eval()
    assert (backbone.channels, backbone.stride) == (16, 4)
    images = torch.rand(1, 3, 32, 32) * 255
    with torch.no_grad():
        maps = backbone(images)
        tokens = backbone.features.model((images - backbone.mean) / backbone.deviation).last_hidden_state
    assert maps.shape == (1, 16, 8, 8)
    assert maps.flatten(2).transpose(1, 2).shape == tokens.shape


def test_pixels_are_normalised_as_the_models_image_processor_says(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    configuration = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], layer_type="basic")
    transformers.ResNetModel(configuration).save_pretrained(tmp_path)
    assert backbones.transformers_backbone(str(tmp_path)).mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}')
    backbone = backbones.transformers_backbone(str(tmp_path))
    assert (backbone.mean.flatten().tolist(), backbone.deviation.flatten().tolist()) == ([127.5] * 3, [63.75] * 3)


def test_a_transformers_backbone_is_rebuilt_without_its_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    configuration = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], layer_type="basic")
    transformers.ResNetModel(configuration).save_pretrained(tmp_path / "gone")
    backbone = backbones.transformers_backbone(str(tmp_path / "gone"))
    (tmp_path / "gone").rename(tmp_path / "elsewhere")
    again = rebuild(json.loads(json.dumps(backbone.recipe)))
    again.load_state_dict(backbone.state_dict())
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(again.eval()(images), backbone.eval()(images))


def test_a_timm_backbone_takes_the_stage_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm itself cannot be imported beside every build of torch, so its interface stands in."""

    class Extractor(nn.Module):
        feature_info = SimpleNamespace(channels=lambda: [4, 6], reduction=lambda: [2, 4])

        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 4, 2, 2), nn.Conv2d(4, 6, 2, 2)

        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            return [self.one(images), self.two(self.one(images))]

    timm = ModuleType("timm")
    calls: list[dict[str, object]] = []
    timm.create_model = lambda name, **arguments: calls.append({"name": name, **arguments}) or Extractor()  # type: ignore[attr-defined]
    timm.data = SimpleNamespace(resolve_data_config=lambda _, model: {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", timm)
    backbone = backbones.timm_backbone("some_net", layer=0, checkpoint_path="weights.pth")
    assert isinstance(backbone, Backbone)
    assert backbone(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 4, 4)
    assert (backbone.channels, backbone.stride, backbone.mean.flatten().tolist()) == (4, 2, [127.5] * 3)
    assert calls == [{"name": "some_net", "pretrained": False, "features_only": True, "checkpoint_path": "weights.pth"}]
    assert "checkpoint_path" not in backbone.recipe


@pytest.mark.parametrize(
    ("library", "call"), [("timm", backbones.timm_backbone), ("transformers", backbones.transformers_backbone)]
)
def test_a_missing_library_is_named_with_the_extra_that_brings_it(library: str, call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=rf"sameplace\[{library}\]"):
        call("anything")
