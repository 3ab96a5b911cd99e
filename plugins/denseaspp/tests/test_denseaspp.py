from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.nn.encoders import build_encoder
from spine_ignite.testing import ModelConformance, assert_agrees
from spine_ignite_denseaspp.model import DenseASPPHead


class TestDenseASPP(ModelConformance):
    model = "denseaspp"
    options: ClassVar[dict[str, Any]] = {"backbone": "densenet121", "rates": [3, 6, 12]}


def conv(inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> int:
    """Parameters of a convolution."""
    return inputs * outputs * kernel * kernel + bias * outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("denseaspp", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("backbone", "channels", "hidden", "growth", "millions"),
    [
        ("densenet121", 1024, 128, 64, 8.281),
        ("densenet161", 2208, 512, 128, 35.395),
        ("densenet169", 1664, 336, 168, 18.421),
        ("densenet201", 1920, 480, 240, 28.640),
    ],
)
def test_the_official_networks_have_their_sizes(
    backbone: str, channels: int, hidden: int, growth: int, millions: float
) -> None:
    with torch.device("meta"):
        dense = sum(p.numel() for p in build_encoder(backbone, 3).parameters())
    half = channels // 2
    transition = norm(channels) + conv(channels, half) + norm(half) - norm(channels)  # in place of timm's last norm
    head = -norm(half)  # the first stage has none
    for stage in range(5):
        inputs = half + stage * growth
        head += norm(inputs) + conv(inputs, hidden, bias=True) + norm(hidden) + conv(hidden, growth, 3, bias=True)
    head += conv(half + 5 * growth, 19, bias=True)
    assert count(3, 19, backbone=backbone) == dense + transition + head
    assert count(3, 19, backbone=backbone) / 1e6 == pytest.approx(millions, abs=6e-4)


def linear(length: int, factor: int) -> Tensor:
    """Weights of linear interpolation from the first pixel's centre to the last one's."""
    place = torch.linspace(0, length - 1, factor * length, dtype=torch.float64)
    return (1 - (place[:, None] - torch.arange(length)).abs()).clamp_min(0)


@pytest.mark.parametrize("enlarge", [1, 2, 4])
def test_every_stage_sees_the_rectified_features_and_all_outputs_before_it(enlarge: int) -> None:
    """Figure 3 of the paper, with the in-place ReLU of the release's first stage, behind the upsampling to stride 8."""
    head = DenseASPPHead(4, 6, 2, 3, (1, 2, 4), 0.1, enlarge)

    def plain(features: Tensor) -> Tensor:
        features = torch.einsum("bchw,ih,jw->bcij", features, linear(6, enlarge), linear(5, enlarge))
        seen = features.clamp_min(0)
        for stage, rate in zip(head.stages, (1, 2, 4), strict=True):
            norm1, _, conv1, norm2, _, conv2, _ = stage
            hidden = norm2(conv1(norm1(seen).clamp_min(0))).clamp_min(0)
            new = F.conv2d(hidden, conv2.weight, conv2.bias, padding=rate, dilation=rate)
            seen = torch.cat([new, seen], 1)
        return F.conv2d(seen, head.classify[1].weight, head.classify[1].bias)

    class OnTensor(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = head

        def forward(self, x: Tensor) -> Tensor:
            return self.head([x])

    assert_agrees(OnTensor(), plain, torch.randn(2, 4, 6, 5))


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_cascade_works_at_stride_8(stride: int) -> None:
    network = create_model("denseaspp", 1, 2, backbone="densenet121", rates=[3], output_stride=stride).eval()
    with torch.inference_mode():
        features = network.encoder(torch.randn(1, 1, 64, 96))
        assert features[-1].shape[2:] == (64 // stride, 96 // stride)
        assert network.head(features).shape == (1, 2, 8, 12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"backbone": "resnet50"},
            "backbone: input should be 'densenet121', 'densenet161', 'densenet169' or 'densenet201'",
        ),
        ({"rates": []}, "rates: tuple should have at least 1 item"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("denseaspp", 1, 2, **options)
    assert message in str(caught.value)
