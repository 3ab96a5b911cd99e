from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.nn.timm_import import import_timm
from spine_ignite.testing import ModelConformance, assert_agrees


class TestSegNet(ModelConformance):
    model = "segnet"
    bfloat16_tolerance = 0.25  # rounding moves some maxima to a neighbouring pixel
    options: ClassVar[dict[str, Any]] = {"backbone": "vgg11_bn"}

    @pytest.fixture(autouse=True)
    def _narrow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A quarter of VGG's channels make the kit fast; VGG has no option for that."""
        table = import_timm().models.vgg.cfgs
        monkeypatch.setitem(table, "vgg11", [part if part == "M" else part // 4 for part in table["vgg11"]])


@pytest.mark.parametrize(("in_channels", "classes", "millions"), [(3, 21, 29.455), (1, 20, 29.453), (3, 11, 29.449)])
def test_the_authors_network_has_its_size(in_channels: int, classes: int, millions: float) -> None:
    """The 13 convolutions of VGG16 there and back, each with bias, all but the last with batch norm."""
    widths = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]
    total, before = 0, in_channels
    for width, number in widths:
        for _ in range(number):
            total += 9 * before * width + width + 2 * width
            before = width
    outputs = [classes, 64, 128, 256, 512]
    for (width, number), output in zip(widths, outputs, strict=True):
        total += (number - 1) * (9 * width * width + 3 * width) + 9 * width * output + 3 * output
    total -= 2 * classes
    with torch.device("meta"):
        network = create_model("segnet", in_channels, classes)
    assert sum(p.numel() for p in network.parameters()) == total
    assert total / 1e6 == pytest.approx(millions, abs=6e-4)


def test_values_return_to_the_place_they_came_from() -> None:
    """What each decoder stage is given is zero but for the places of the maxima in the matching encoder stage."""
    network = create_model("segnet", 1, 2, backbone="vgg11_bn").eval()
    seen: dict[int, torch.Tensor] = {}
    for number, stage in enumerate(network.encoder):
        stage.register_forward_hook(lambda _m, _i, out, number=number: seen.__setitem__(number, out))
    inputs: dict[int, torch.Tensor] = {}
    for number, stage in enumerate(network.decoder):
        stage.register_forward_pre_hook(lambda _m, args, number=number: inputs.__setitem__(number, args[0]))
    with torch.inference_mode():
        network(torch.randn(1, 1, 70, 64))
    for number, given in inputs.items():
        assert given.shape == seen[number].shape
        height, width = given.shape[2] // 2 * 2, given.shape[3] // 2 * 2
        windows = [x[..., :height, :width].unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2) for x in (given, seen[number])]
        values, features = windows
        assert int((values != 0).sum(-1).max()) <= 1
        place = values.abs().argmax(-1, keepdim=True)
        chosen = features.gather(-1, place)[..., 0]
        written = values.abs().amax(-1) > 0
        assert torch.equal(chosen[written], features.amax(-1)[written])


def plain_norm(layer: Any, x: Tensor) -> Tensor:
    scale = layer.weight / (layer.running_var + layer.eps) ** 0.5
    return (x - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]


def pairs_of(x: Tensor) -> Tensor:
    """The 2x2 windows of a map, (B, C, ceil(H / 2), ceil(W / 2), 4); what an odd border lacks is minus infinity."""
    x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), value=-torch.inf)
    return torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], -1)


@pytest.mark.parametrize("size", [(32, 64), (37, 50)])
def test_the_network_is_the_authors_prototxt(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    """alexgkendall/SegNet-Tutorial bb68b64, which is of Caffe and does not run here: layer by layer, VGG11 made thin.

    Of equal values in a window (zeros of the ReLU) the first counts as the maximum, as in Caffe and in torch.
    """
    table = import_timm().models.vgg.cfgs
    monkeypatch.setitem(table, "vgg11", [part if part == "M" else part // 16 for part in table["vgg11"]])
    network = create_model("segnet", 2, 3, backbone="vgg11_bn")

    def layers(stage: nn.Module) -> list[Any]:
        return [part for part in stage.modules() if isinstance(part, nn.Conv2d | nn.BatchNorm2d)]

    def through(stage: nn.Module, x: Tensor) -> Tensor:
        for layer in layers(stage):
            if isinstance(layer, nn.Conv2d):
                x = F.conv2d(x, layer.weight, layer.bias, padding=1)
            else:
                x = plain_norm(layer, x).clamp_min(0)
        return x

    def back(x: Tensor, chosen: Tensor, shape: torch.Size) -> Tensor:
        spread = x[..., None] * chosen
        out = torch.zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3], dtype=x.dtype)
        for place in range(4):
            out[..., place // 2 :: 2, place % 2 :: 2] = spread[..., place]
        return out[..., : shape[2], : shape[3]]

    def reference(x: Tensor) -> Tensor:
        pooled = []
        for stage in network.encoder:
            x = through(stage, x)
            windows = pairs_of(x)
            largest = windows == windows.amax(-1, keepdim=True)
            chosen = largest & (largest.cumsum(-1) == 1)
            pooled.append((chosen, x.shape))
            x = windows.where(chosen, 0).sum(-1)
        for stage, (chosen, shape) in zip(reversed(network.decoder), reversed(pooled), strict=True):
            x = through(stage, back(x, chosen, shape))
        return x

    assert_agrees(network, reference, torch.randn(2, 2, *size))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "vgg16"}, "backbone: input should be 'vgg11_bn', 'vgg13_bn', 'vgg16_bn' or 'vgg19_bn'"),
        ({"weights": "nowhere.pth"}, "nowhere.pth' is not a file"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("segnet", 1, 2, **options)
    assert message in str(caught.value)
