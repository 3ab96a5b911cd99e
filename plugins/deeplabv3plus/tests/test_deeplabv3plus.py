from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.nn.heads import ASPP
from spine_ignite.testing import ModelConformance, assert_agrees
from spine_ignite_deeplabv3plus.model import Decoder


class TestDeepLabV3Plus(ModelConformance):
    model = "deeplabv3plus"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32}


def conv(inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> int:
    """Parameters of a convolution."""
    return inputs * outputs * kernel * kernel + bias * outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("deeplabv3plus", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


class TestSeparable(ModelConformance):
    model = "deeplabv3plus"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32, "separable": True, "output_stride": 8}


def test_the_network_with_resnet_101_has_its_size() -> None:
    """59.344 M with 21 classes."""
    pyramid = conv(2048, 256) + 3 * conv(2048, 256, 3) + conv(2048, 256) + conv(5 * 256, 256) + 6 * norm(256)
    decoder = conv(256, 48) + norm(48) + conv(304, 256, 3) + conv(256, 256, 3) + 2 * norm(256)
    assert count(3, 21) == 42_500_160 + pyramid + decoder + conv(256, 21, bias=True)
    assert count(3, 21) / 1e6 == pytest.approx(59.344, abs=5e-4)


def test_xception_brings_separable_convolutions() -> None:
    """Section 3.2: each 3x3 convolution becomes a depthwise one and a 1x1 one, batch norm after both."""

    def separable(inputs: int) -> int:
        return 9 * inputs + norm(inputs) + conv(inputs, 256) + norm(256)

    pyramid = 2 * (conv(2048, 256) + norm(256)) + 3 * separable(2048) + conv(5 * 256, 256) + norm(256)
    decoder = conv(256, 48) + norm(48) + separable(304) + separable(256) + conv(256, 21, bias=True)
    assert count(3, 21, backbone="xception65") == 37_867_312 + pyramid + decoder
    # The port (jfzhang95/pytorch-deeplab-xception 9135e10: 54.705 M) has plain convolutions, and fine features of 128
    # channels, not 256.
    plain = count(3, 21, backbone="xception65", separable=False)
    assert (plain - 128 * 48) / 1e6 == pytest.approx(54.705, abs=5e-4)


def test_the_decoder_is_its_formula() -> None:
    """Figure 2: pyramid at the size of the fine features (corners aligned), before these; two 3x3; 1x1."""
    decoder = Decoder(ASPP(5, 4, (1, 2)), 0, 3, 4, 2, 6, separable=False, dropout=0.1)

    def plain(block: Any, x: Tensor) -> Tensor:
        conv, norm, _ = block
        x = F.conv2d(x, conv.weight, padding=conv.weight.shape[-1] // 2)
        scale = norm.weight / (norm.running_var + norm.eps) ** 0.5
        return ((x - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]).clamp_min(0)

    def weights(coarse: int, fine: int) -> Tensor:
        """Of linear interpolation from the first pixel's centre to the last one's, (fine, coarse)."""
        place = torch.linspace(0, coarse - 1, fine, dtype=torch.float64)
        return (1 - (place[:, None] - torch.arange(coarse)).abs()).clamp_min(0)

    def reference(fine: Tensor, coarse: Tensor) -> Tensor:
        pyramid = decoder.aspp(coarse)
        pyramid = torch.einsum("bchw,ih,jw->bcij", pyramid, weights(3, 9), weights(4, 11))
        x = torch.cat([pyramid, plain(decoder.reduce, fine)], 1)
        x = plain(decoder.refine[1], plain(decoder.refine[0], x))
        return F.conv2d(x, decoder.classify[1].weight, decoder.classify[1].bias)

    class OnTensors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = decoder

        def forward(self, *features: Tensor) -> Tensor:
            return self.decoder(features)

    assert_agrees(OnTensors(), reference, torch.randn(2, 3, 9, 11), torch.randn(2, 5, 3, 4))


@pytest.mark.parametrize(
    ("stride", "third", "fourth"),
    [
        (8, [2, 2, 2, 2, 2, 2], [4, 8, 16]),
        (16, [1, 1, 1, 1, 1, 1], [2, 4, 8]),
    ],
)
def test_the_encoder_is_dilated_as_the_source_s(stride: int, third: list[int], fourth: list[int]) -> None:
    """jfzhang95/pytorch-deeplab-xception 9135e10, `modeling/backbone/resnet.py`."""
    with torch.device("meta"):
        stages = create_model("deeplabv3plus", 1, 2, backbone="resnet50", output_stride=stride).encoder.net
    assert [block.conv2.dilation[0] for block in stages.layer3] == third
    assert [block.conv2.dilation[0] for block in stages.layer4] == fourth


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low_channels": 0}, "low_channels: input should be greater than or equal to 4"),
        ({"multi_grid": []}, "multi_grid: tuple should have at least 1 item"),
        ({"seperable": True}, "Did you mean 'separable'?"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("deeplabv3plus", 1, 2, **options)
    assert message in str(caught.value)
