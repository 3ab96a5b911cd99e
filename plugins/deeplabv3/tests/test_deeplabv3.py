from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.testing import ModelConformance, assert_agrees


class TestDeepLabV3(ModelConformance):
    model = "deeplabv3"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32, "output_stride": 8}


def conv(inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> int:
    """Parameters of a convolution."""
    return inputs * outputs * kernel * kernel + bias * outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("deeplabv3", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


def test_the_paper_s_network_has_its_size() -> None:
    """ResNet-101 and a pyramid of 256 channels: 58.041 M with 21 classes."""
    pyramid = conv(2048, 256) + 3 * conv(2048, 256, 3) + conv(2048, 256) + conv(5 * 256, 256) + 6 * norm(256)
    assert count(3, 21) == 42_500_160 + pyramid + conv(256, 21, bias=True)
    assert count(3, 21) / 1e6 == pytest.approx(58.041, abs=5e-4)


@pytest.mark.parametrize(("stride", "rates", "grid"), [(16, [1, 6, 12, 18], [2, 4]), (8, [1, 12, 24, 36], [4, 8])])
def test_rates_double_at_output_stride_8(stride: int, rates: list[int], grid: list[int]) -> None:
    network = create_model("deeplabv3", 1, 2, backbone="resnet18", output_stride=stride)
    assert [branch[0].dilation[0] for branch in network.head.aspp.branches] == rates
    assert [block.conv1.dilation[0] for block in network.encoder.net.layer4] == grid


def plain_stage(stage: Any, strides: Sequence[int], dilations: Sequence[int], x: Tensor) -> Tensor:
    """Blocks of two 3x3 convolutions, each with the block's dilation, and a shortcut; norms in eval mode."""

    def normalise(layer: Any, y: Tensor) -> Tensor:
        scale = layer.weight / (layer.running_var + layer.eps) ** 0.5
        return (y - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]

    for block, stride, rate in zip(stage, strides, dilations, strict=True):
        hidden = F.conv2d(x, block.conv1.weight, stride=stride, padding=rate, dilation=rate)
        hidden = F.conv2d(normalise(block.bn1, hidden).clamp_min(0), block.conv2.weight, padding=rate, dilation=rate)
        if block.downsample is not None:
            conv, norm = block.downsample[-2:]
            x = normalise(norm, F.conv2d(x, conv.weight, stride=stride))
        x = (normalise(block.bn2, hidden) + x).clamp_min(0)
    return x


def test_at_stride_8_all_of_stage_3_is_dilated() -> None:
    """As in the authors' TensorFlow release, where the stride that a dilation replaces is a stage's last."""
    stage = create_model("deeplabv3", 1, 2, backbone="resnet18", output_stride=8).encoder.net.layer3
    assert_agrees(stage, lambda x: plain_stage(stage, (1, 1), (2, 2), x), torch.randn(1, 128, 9, 8))


def test_logits_are_resized_with_aligned_corners() -> None:
    """As the authors' release does; torchvision does not."""
    network = create_model("deeplabv3", 1, 2, backbone="resnet18", channels=8).eval()
    image = torch.randn(1, 1, 65, 97)
    with torch.inference_mode():
        coarse = network.head(network.encoder(image))
        corners = (..., slice(None, None, 64), slice(None, None, 96))
        torch.testing.assert_close(network(image)[corners], coarse[..., ::4, ::6])


def test_rates_stay_positive_at_output_stride_32() -> None:
    network = create_model("deeplabv3", 1, 2, backbone="resnet18", channels=8, rates=[1, 2, 6], output_stride=32)
    assert [branch[0].dilation[0] for branch in network.head.aspp.branches] == [1, 1, 1, 3]


class TestDeepLabV3WithAuxiliaryHead(ModelConformance):
    model = "deeplabv3"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 16, "aux_weight": 0.5, "output_stride": 8}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rates": [0]}, "rates.0: input should be greater than or equal to 1"),
        ({"output_stride": 12}, "output_stride: input should be 8, 16 or 32"),
        ({"dropout": 1}, "dropout: input should be less than 1"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("deeplabv3", 1, 2, **options)
    assert message in str(caught.value)


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """The TensorFlow release has none; they are resized as it resizes the logits, with aligned corners."""
    assert load_registry().find("deeplabv3").value.aux_align_corners is True
