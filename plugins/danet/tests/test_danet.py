from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.spec import ModelOutput
from spine_ignite.testing import ModelConformance, assert_agrees
from spine_ignite_danet.model import ChannelAttention, PositionAttention


class TestDANet(ModelConformance):
    model = "danet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32}


def conv(inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> int:
    """Parameters of a convolution."""
    return inputs * outputs * kernel * kernel + bias * outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("danet", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


def test_the_official_network_has_its_size() -> None:
    """R101 with the plain stem, 19 classes: 66.455 M, of which the head 23.955 M."""
    branches = 2 * (conv(2048, 512, 3) + norm(512) + conv(512, 512, 3) + norm(512))
    attention = 2 * conv(512, 64, bias=True) + conv(512, 512, bias=True) + 1 + 1
    head = branches + attention + 3 * conv(512, 19, bias=True)
    assert head / 1e6 == pytest.approx(23.955, abs=5e-4)
    assert count(3, 19) == 42_500_160 + head
    assert count(3, 19) / 1e6 == pytest.approx(66.455, abs=5e-4)
    assert count(1, 20) / 1e6 == pytest.approx(66.450, abs=5e-4)


def test_position_attention_is_its_formula() -> None:
    """P = softmax(Q^T K), gamma V P^T + X (Fu et al. 2019, section 3.2)."""
    block = PositionAttention(16)

    def reference(x: Tensor) -> Tensor:
        query, key, value = (part(x).flatten(2) for part in (block.query, block.key, block.value))
        weights = torch.einsum("bcn,bcm->bnm", query, key).softmax(2)
        return block.gamma * torch.einsum("bcm,bnm->bcn", value, weights).reshape(x.shape) + x

    assert_agrees(block, reference, torch.randn(2, 16, 5, 4))


def test_channel_attention_looks_at_unlike_channels() -> None:
    """P = softmax over rows of -X X^T, gamma P X + X: as the release has it, not Fu et al. 2019, section 3.3.

    junfu1115/DANet b0a0fa0, `CAM_Module` in `encoding/nn/da_att.py`: the maximum minus the energy.
    """
    block = ChannelAttention()

    def reference(x: Tensor) -> Tensor:
        columns = x.flatten(2)
        energy = torch.einsum("bcn,bdn->bcd", columns, columns)
        weights = (energy.amax(2, keepdim=True) - energy).softmax(2)
        return block.gamma * torch.einsum("bcd,bdn->bcn", weights, columns).reshape(x.shape) + x

    assert_agrees(block, reference, torch.randn(2, 6, 3, 4))


def test_each_branch_is_supervised() -> None:
    output = create_model("danet", 1, 3, backbone="resnet18", channels=16).train()(torch.randn(2, 1, 64, 64))
    assert isinstance(output, ModelOutput)
    assert {name: aux.weight for name, aux in output.aux.items()} == {"position": 1.0, "channel": 1.0}


@pytest.mark.parametrize(
    ("stride", "third", "fourth"),
    [
        (8, [1, 2, 2, 2, 2, 2], [4, 8, 16]),
        (16, [1, 1, 1, 1, 1, 1], [2, 4, 8]),
    ],
)
def test_the_encoder_is_dilated_as_the_source_s(stride: int, third: list[int], fourth: list[int]) -> None:
    """junfu1115/DANet b0a0fa0, with the released flags: a multi-grid of 4, 8, 16 (at stride 16 ours: 2, 4, 8)."""
    with torch.device("meta"):
        stages = create_model("danet", 1, 2, backbone="resnet50", output_stride=stride).encoder.net
    assert [block.conv2.dilation[0] for block in stages.layer3] == third
    assert [block.conv2.dilation[0] for block in stages.layer4] == fourth


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 4}, "channels: input should be greater than or equal to 8"),
        ({"multi_grid": [0]}, "multi_grid.0: input should be greater than or equal to 1"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("danet", 1, 2, **options)
    assert message in str(caught.value)


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """junfu1115/DANet b0a0fa0, `up_kwargs` in `encoding/models/sseg/base.py`: `align_corners=True`."""
    assert load_registry().find("danet").value.aux_align_corners is True
