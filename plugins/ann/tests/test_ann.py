from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.testing import ModelConformance, assert_agrees
from spine_ignite_ann.model import AsymmetricFusion


class TestANN(ModelConformance):
    model = "ann"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32}


def test_annnet_is_another_name_of_it() -> None:
    """Lists of architectures have it beside ann; no paper and no code defines one."""
    assert load_registry().find("annnet") is load_registry().find("ann")


def conv(inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> int:
    """Parameters of a convolution."""
    return inputs * outputs * kernel * kernel + bias * outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("ann", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


def test_the_official_network_has_its_size() -> None:
    """R101 with the deep stem, 19 classes: 67.694 M; fusion 9.971 M, pyramid block with its convolution 10.359 M."""
    fuse = conv(2048, 256, bias=True) + 2 * conv(1024, 256, bias=True) + 2 * norm(256)
    fuse += conv(256, 2048, bias=True) + conv(4096, 2048, bias=True) + norm(2048)
    block = conv(2048, 512, 3, bias=True) + norm(512)
    block += 2 * conv(512, 256, bias=True) + norm(256) + conv(256, 512, bias=True)
    block += conv(1024, 512, bias=True) + norm(512)
    aux = conv(1024, 512, 3, bias=True) + norm(512) + conv(512, 19, bias=True)
    assert (fuse / 1e6, block / 1e6) == pytest.approx((9.971, 10.359), abs=5e-4)
    assert count(3, 19) == 42_623_936 + fuse + block + conv(512, 19, bias=True) + aux
    assert count(3, 19) / 1e6 == pytest.approx(67.694, abs=5e-4)


def test_asymmetric_fusion_is_its_formula() -> None:
    """Queries of the high features, keys and values the means over cells of the low ones.

    Zhu et al. 2019, section 3; MendelXu/ANN f4eabeb, `models/seg/utils/afnb.py`.
    """
    block = AsymmetricFusion(3, 6, 4, (1, 2), dropout=0.1)

    def cells(x: Tensor) -> Tensor:
        quarters = x.unflatten(3, (2, -1)).unflatten(2, (2, -1)).mean((3, 5)).flatten(2)
        return torch.cat([x.mean((2, 3))[:, :, None], quarters], 2)

    def reference(low: Tensor, high: Tensor) -> Tensor:
        query, key, value = block.query(high).flatten(2), cells(block.key(low)), cells(block.value(low))
        weights = (torch.einsum("bcn,bcm->bnm", query, key) / 2).softmax(2)
        context = torch.einsum("bcm,bnm->bcn", value, weights).unflatten(2, high.shape[2:])
        context = F.conv2d(context, block.out.weight, block.out.bias)
        return block.project(torch.cat([context, high], 1))

    assert_agrees(block, reference, torch.randn(2, 3, 4, 6), torch.randn(2, 6, 4, 6))


def test_the_context_starts_at_zero() -> None:
    network = create_model("ann", 1, 2, backbone="resnet18", channels=16)
    assert not network.head.fuse.out.weight.any()
    assert not network.head.pyramid.out.weight.any()


@pytest.mark.parametrize(
    ("stride", "third", "fourth"),
    [
        (8, [1, 2, 2, 2, 2, 2], [2, 4, 4]),
        (16, [1, 1, 1, 1, 1, 1], [1, 2, 2]),
    ],
)
def test_the_encoder_is_dilated_as_the_source_s(stride: int, third: list[int], fourth: list[int]) -> None:
    """MendelXu/ANN f4eabeb, `models/backbones/resnet/resnet_backbone.py`, with a multi-grid of 1, 1, 1.

    The first block of a stage has the dilation of the stage before.
    """
    with torch.device("meta"):
        stages = create_model("ann", 1, 2, backbone="resnet50s", output_stride=stride).encoder.net
    assert [block.conv2.dilation[0] for block in stages.layer3] == third
    assert [block.conv2.dilation[0] for block in stages.layer4] == fourth


def test_a_multiple_of_8_gains_no_pixel() -> None:
    """Kept on purpose: the release's stem pools with `ceil_mode`, which shifts such maps; its crops are 8 n + 1."""
    encoder = create_model("ann", 1, 2, backbone="resnet18", channels=16).encoder
    for size in ((64, 96), (65, 97)):
        assert encoder(torch.randn(1, 1, *size))[-1].shape[2:] == (-(-size[0] // 8), -(-size[1] // 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anchors": [0]}, "anchors.0: input should be greater than or equal to 1"),
        ({"channels": 0}, "channels: input should be greater than or equal to 8"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("ann", 1, 2, **options)
    assert message in str(caught.value)


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """MendelXu/ANN f4eabeb, `models/seg/nets/annn.py`, resizes them with `align_corners=True`."""
    assert load_registry().find("ann").value.aux_align_corners is True
