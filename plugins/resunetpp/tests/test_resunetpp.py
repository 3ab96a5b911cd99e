from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.testing import ModelConformance, assert_agrees
from spine_ignite_resunetpp.model import AttentionGate, SummedASPP


class TestResUNetPlusPlus(ModelConformance):
    model = "resunetpp"
    options: ClassVar[dict[str, Any]] = {"width": 8}


def conv(inputs: int, outputs: int, kernel: int = 1) -> int:
    """Parameters of a convolution with bias."""
    return inputs * outputs * kernel * kernel + outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("resunetpp", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


def squeeze(channels: int) -> int:
    return 2 * channels * (channels // 8)


def unit(inputs: int, outputs: int, activated: bool = True) -> int:
    first = norm(inputs) if activated else 0
    residual = first + conv(inputs, outputs, 3) + norm(outputs) + conv(outputs, outputs, 3)
    return residual + conv(inputs, outputs) + norm(outputs) + squeeze(outputs)


def pyramid(inputs: int, outputs: int) -> int:
    return 4 * (conv(inputs, outputs, 3) + norm(outputs)) + conv(outputs, outputs)


def gate(low: int, high: int) -> int:
    return norm(low) + conv(low, high, 3) + 2 * (norm(high) + conv(high, high, 3))


def test_the_authors_network_has_its_size() -> None:
    """4,062,993 trainable parameters with three channels and one class."""
    encoder = unit(3, 16, activated=False) + unit(16, 32) + unit(32, 64) + unit(64, 128)
    decoder = (
        gate(64, 256) + unit(64 + 256, 128) + gate(32, 128) + unit(32 + 128, 64) + gate(16, 64) + unit(16 + 64, 32)
    )
    rest = pyramid(128, 256) + decoder + pyramid(32, 16)
    assert encoder + rest + conv(16, 1) == 4_062_993
    assert count(3, 2) == encoder + rest + conv(16, 2)


def plain_norm(layer: Any, x: Tensor) -> Tensor:
    scale = layer.weight / (layer.running_var + layer.eps) ** 0.5
    return (x - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]


def test_the_pyramid_sums_its_branches() -> None:
    block = SummedASPP(3, 4, (1, 3))

    def reference(x: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for branch, rate in zip(block.branches, (1, 3), strict=True):
            found = F.conv2d(x, branch[0].weight, branch[0].bias, padding=rate, dilation=rate)
            total = total + plain_norm(branch[1], found)
        return torch.einsum("bchw,oc->bohw", total, block.project.weight[..., 0, 0]) + block.project.bias.view(
            1, -1, 1, 1
        )

    assert_agrees(block, reference, torch.randn(2, 3, 7, 6))


def test_attention_multiplies_without_a_sigmoid() -> None:
    block = AttentionGate(3, 4)

    def activated(part: Any, x: Tensor) -> Tensor:
        return F.conv2d(plain_norm(part[0], x).clamp_min(0), part[2].weight, part[2].bias, padding=1)

    def reference(low: Tensor, high: Tensor) -> Tensor:
        found = activated(block.low[0], low)
        pooled = found.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax((3, 5))
        return activated(block.both, pooled + activated(block.high, high)) * high

    assert_agrees(block, reference, torch.randn(2, 3, 8, 6), torch.randn(2, 4, 4, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 0}, "ratio: input should be greater than or equal to 1"),
        ({"rates": [0]}, "rates.0: input should be greater than or equal to 1"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("resunetpp", 1, 2, **options)
    assert message in str(caught.value)
