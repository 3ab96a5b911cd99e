from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.testing import ModelConformance, assert_agrees
from spine_ignite_emanet.model import EMAttention


class TestEMANet(ModelConformance):
    model = "emanet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32, "bases": 8}


def conv(inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> int:
    """Parameters of a convolution."""
    return inputs * outputs * kernel * kernel + bias * outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("emanet", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("backbone", "encoder", "millions"), [("resnet101s", 42_623_936, 53.774), ("resnet50s", 23_631_808, 34.781)]
)
def test_the_official_networks_have_their_sizes(backbone: str, encoder: int, millions: float) -> None:
    unit = conv(512, 512, bias=True) + conv(512, 512) + norm(512)
    head = conv(2048, 512, 3) + norm(512) + unit + conv(512, 256, 3) + norm(256) + conv(256, 21, bias=True)
    assert count(3, 21, backbone=backbone) == encoder + head
    assert count(3, 21, backbone=backbone) / 1e6 == pytest.approx(millions, abs=5e-4)


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


@pytest.mark.parametrize(("stride", "dilations"), [(16, (1, 4)), (8, (2, 8))])
def test_the_last_stage_is_dilated_as_in_the_release(stride: int, dilations: tuple[int, int]) -> None:
    """(1, 4, 8) at output stride 16 and (2, 8, 16) at 8: a multi-grid, but the first block has the stage before's."""
    stage = create_model("emanet", 1, 2, backbone="resnet18", channels=16, output_stride=stride).encoder.net.layer4
    assert_agrees(stage, lambda x: plain_stage(stage, (1, 1), dilations, x), torch.randn(1, 256, 9, 8))
    with torch.device("meta"):
        deep = create_model("emanet", 1, 2, backbone="resnet50s", output_stride=stride).encoder.net.layer4
    assert [block.conv2.dilation[0] for block in deep] == [dilations[0], dilations[1], 2 * dilations[1]]


def test_the_unit_s_convolutions_start_from_he_s_distribution() -> None:
    """Normal, fan out, both of them, as in the release."""
    block = EMAttention(512)
    for weight in (block.before.weight.detach(), block.after[0].weight.detach()):
        assert float(weight.mean()) == pytest.approx(0, abs=1e-3)
        assert float(weight.std()) == pytest.approx((2 / 512) ** 0.5, rel=0.02)


def test_the_attention_unit_is_its_formula() -> None:
    """Li et al. 2019, section 3.3; XiaLiPKU/EMANet f09ffac, `EMAU` in `network.py`.

    No gradient flows through the steps, in the release and here.
    """
    block = EMAttention(6, bases=3)

    def reference(x: Tensor) -> Tensor:
        with torch.no_grad():
            pixels = block.before(x).flatten(2)
            bases = block.bases.expand(x.shape[0], -1, -1)
            for _ in range(3):
                assignment = torch.einsum("bcn,bck->bnk", pixels, bases).softmax(2)
                bases = torch.einsum("bcn,bnk->bck", pixels, assignment / (1e-6 + assignment.sum(1, keepdim=True)))
                bases = bases / (1e-6 + (bases**2).sum(1, keepdim=True).sqrt())
            rebuilt = torch.einsum("bck,bnk->bcn", bases, assignment).reshape(x.shape)
        return (block.after(rebuilt.clamp_min(0)) + x).clamp_min(0)

    assert_agrees(block, reference, torch.randn(2, 6, 5, 4))


def test_bases_move_in_training_alone_and_by_the_momentum() -> None:
    torch.manual_seed(0)
    block = EMAttention(6, bases=3, momentum=0.75)
    start = block.bases.clone()
    x = torch.randn(4, 6, 5, 5)
    block.eval()(x)
    assert torch.equal(block.bases, start)
    _, final = block._maximise(x)
    block.train()(x)
    torch.testing.assert_close(block.bases, 0.75 * start + 0.25 * final.mean(0, keepdim=True))


def test_the_first_convolution_is_frozen_openly() -> None:
    network = create_model("emanet", 1, 2, backbone="resnet18", channels=16, bases=4)
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {"head.attention.before.weight", "head.attention.before.bias"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bases": 1}, "bases: input should be greater than or equal to 2"),
        ({"momentum": 1}, "momentum: input should be less than 1"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("emanet", 1, 2, **options)
    assert message in str(caught.value)
