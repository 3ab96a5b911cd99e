from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.testing import ModelConformance, assert_agrees
from spine_ignite_ccnet.model import CrissCrossAttention


class TestCCNet(ModelConformance):
    model = "ccnet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32}


def conv(inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> int:
    """Parameters of a convolution."""
    return inputs * outputs * kernel * kernel + bias * outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("ccnet", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


def test_the_official_network_has_its_size() -> None:
    """R101 with the deep stem, 19 classes: 71.288 M, of which 66.558 M without the auxiliary head."""
    encoder = 42_623_936
    attention = 2 * conv(512, 64, bias=True) + conv(512, 512, bias=True) + 1
    head = conv(2048, 512, 3) + attention + conv(512, 512, 3) + conv(2560, 512, 3) + 3 * norm(512)
    head += conv(512, 19, bias=True)
    aux = conv(1024, 512, 3, bias=True) + norm(512) + conv(512, 19, bias=True)
    assert count(3, 19) == encoder + head + aux
    assert count(3, 19) / 1e6 == pytest.approx(71.288, abs=5e-4)
    assert (encoder + head) / 1e6 == pytest.approx(66.558, abs=5e-4)
    assert count(1, 20) / 1e6 == pytest.approx(71.288, abs=5e-4)


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 7)])
def test_criss_cross_attention_is_dense_attention_with_all_but_the_cross_masked(size: tuple[int, int]) -> None:
    """Logits of minus infinity unless two pixels share a row or a column (Huang et al. 2019, section 3.2)."""
    block = CrissCrossAttention(16)
    height, width = size
    place = torch.arange(height * width)
    row, column = place // width, place % width
    cross = (row[:, None] == row) | (column[:, None] == column)

    def reference(x: Tensor) -> Tensor:
        query, key, value = (part(x).flatten(2) for part in (block.query, block.key, block.value))
        logits = torch.einsum("bcn,bcm->bnm", query, key).masked_fill(~cross, float("-inf"))
        context = torch.einsum("bcm,bnm->bcn", value, logits.softmax(2))
        return block.gamma * context.reshape(x.shape) + x

    assert_agrees(block, reference, torch.randn(2, 16, height, width))


def test_recurrence_shares_the_weights() -> None:
    once, twice = (create_model("ccnet", 1, 3, backbone="resnet18", channels=16, recurrence=r).eval() for r in (1, 2))
    twice.load_state_dict(once.state_dict())
    x = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(once(x), twice(x))  # gamma starts at zero: a fresh head does not attend at all
        for network in (once, twice):
            network.head.attention.gamma.fill_(0.7)
        assert not torch.equal(once(x), twice(x))


@pytest.mark.parametrize(
    ("stride", "third", "fourth"),
    [
        (8, [2, 2, 2, 2, 2, 2], [4, 4, 4]),
    ],
)
def test_the_encoder_is_dilated_as_the_source_s(stride: int, third: list[int], fourth: list[int]) -> None:
    """speedinghzl/CCNet e54a977, `networks/ccnet.py`: all blocks of a stage alike."""
    with torch.device("meta"):
        stages = create_model("ccnet", 1, 2, backbone="resnet50s", output_stride=stride).encoder.net
    assert [block.conv2.dilation[0] for block in stages.layer3] == third
    assert [block.conv2.dilation[0] for block in stages.layer4] == fourth


def test_a_multiple_of_8_gains_no_pixel() -> None:
    """Kept on purpose: the release's stem pools with `ceil_mode`, which shifts such maps; its crops are 8 n + 1."""
    encoder = create_model("ccnet", 1, 2, backbone="resnet18", channels=16).encoder
    for size in ((64, 96), (65, 97)):
        assert encoder(torch.randn(1, 1, *size))[-1].shape[2:] == (-(-size[0] // 8), -(-size[1] // 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recurrence": 0}, "recurrence: input should be greater than or equal to 1"),
        ({"backbone": "resnet18s"}, "backbone 'resnet18s' is not one of timm's"),
        ({"recurence": 1}, "Did you mean 'recurrence'?"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("ccnet", 1, 2, **options)
    assert message in str(caught.value)


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """speedinghzl/CCNet e54a977, `CriterionDSN` in `loss/criterion.py`, resizes them with `align_corners=True`."""
    assert load_registry().find("ccnet").value.aux_align_corners is True
