from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.testing import ModelConformance, assert_agrees


class TestResUNet(ModelConformance):
    model = "resunet"
    options: ClassVar[dict[str, Any]] = {"width": 16}


def conv(inputs: int, outputs: int, kernel: int = 1) -> int:
    """Parameters of a convolution with bias."""
    return inputs * outputs * kernel * kernel + outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("resunet", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


class TestBilinear(ModelConformance):
    model = "resunet"
    options: ClassVar[dict[str, Any]] = {"width": 8, "depth": 6, "upsampling": "bilinear"}


def unit(inputs: int, outputs: int, activated: bool = True) -> int:
    """Table I of the paper: two 3x3 convolutions, and a 1x1 convolution with batch norm as shortcut."""
    first = norm(inputs) if activated else 0
    residual = first + conv(inputs, outputs, 3) + norm(outputs) + conv(outputs, outputs, 3)
    return residual + conv(inputs, outputs) + norm(outputs)


def test_the_paper_s_network_has_its_size() -> None:
    """8.224 M with projections as 1x1 convolutions and batch norm."""
    encoder = unit(3, 64, activated=False) + unit(64, 128) + unit(128, 256) + unit(256, 512)
    decoder = unit(512 + 256, 256) + unit(256 + 128, 128) + unit(128 + 64, 64)
    assert count(3, 1 + 1) == encoder + decoder + conv(64, 2)
    assert (encoder + decoder + conv(64, 1)) / 1e6 == pytest.approx(8.224, abs=5e-4)


def plain_norm(layer: Any, x: Tensor) -> Tensor:
    scale = layer.weight / (layer.running_var + layer.eps) ** 0.5
    return (x - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]


@pytest.mark.parametrize("size", [(24, 32), (21, 27)])
def test_the_network_is_the_paper_s_table(size: tuple[int, int]) -> None:
    """Table I and figure 1b, unit by unit; no code of the authors is known."""
    network = create_model("resunet", 2, 3, width=4)

    def unit(part: Any, x: Tensor, stride: int = 1, activate: bool = True) -> Tensor:
        *front, conv1, norm, _, conv2 = part.residual
        found = plain_norm(front[0], x).clamp_min(0) if activate else x
        found = plain_norm(norm, F.conv2d(found, conv1.weight, conv1.bias, stride, 1)).clamp_min(0)
        found = F.conv2d(found, conv2.weight, conv2.bias, padding=1)
        conv, norm = part.shortcut
        short = torch.einsum("bchw,oc->bohw", x[..., ::stride, ::stride], conv.weight[..., 0, 0])
        return found + plain_norm(norm, short + conv.bias[:, None, None])

    def reference(x: Tensor) -> Tensor:
        first, second, third, bridge = network.encoder
        levels = [unit(first, x, activate=False)]
        for part in (second, third):
            levels.append(unit(part, levels[-1], 2))
        x = unit(bridge, levels[-1], 2)
        for part, level in zip(network.decoder, reversed(levels), strict=True):
            up = x.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., : level.shape[2], : level.shape[3]]
            x = unit(part, torch.cat([up, level], 1))
        return torch.einsum("bchw,oc->bohw", x, network.head.weight[..., 0, 0]) + network.head.bias[:, None, None]

    assert_agrees(network, reference, torch.randn(2, 2, *size))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 1}, "depth: input should be greater than or equal to 2"),
        ({"upsampling": "transposed"}, "upsampling: input should be 'nearest' or 'bilinear'"),
        ({"widht": 8}, "Did you mean 'width'?"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("resunet", 1, 2, **options)
    assert message in str(caught.value)
