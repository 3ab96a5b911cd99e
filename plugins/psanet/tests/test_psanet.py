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
from spine_ignite_psanet.attention import PointwiseSpatialAttention, pair_logits


class TestPSANet(ModelConformance):
    model = "psanet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32, "crop": 129}


def conv(inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> int:
    """Parameters of a convolution."""
    return inputs * outputs * kernel * kernel + bias * outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("psanet", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


class TestCollect(ModelConformance):
    model = "psanet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 16, "crop": 65, "attention": "collect"}


@pytest.mark.parametrize(
    ("backbone", "encoder", "classes", "crop", "mask", "millions"),
    [
        ("resnet50s", 23_631_808, 150, 465, 59, 53.274),
        ("resnet101s", 42_623_936, 19, 705, 89, 76.712),
        ("resnet101s", 42_623_936, 21, 465, 59, 72.167),
    ],
)
def test_the_official_networks_have_their_sizes(
    backbone: str, encoder: int, classes: int, crop: int, mask: int, millions: float
) -> None:
    branch = conv(2048, 512) + norm(512) + conv(512, 512) + norm(512) + conv(512, mask * mask)
    head = 2 * branch + conv(1024, 2048) + norm(2048)
    head += conv(4096, 512, 3) + norm(512) + conv(512, classes, bias=True)
    aux = conv(1024, 256, 3) + norm(256) + conv(256, classes, bias=True)
    assert count(3, classes, backbone=backbone, crop=crop) == encoder + head + aux
    assert count(3, classes, backbone=backbone, crop=crop) / 1e6 == pytest.approx(millions, abs=5e-4)


def plain_spread(masks: Tensor, mask: int, direction: str) -> Tensor:
    """Collect and distribute (Zhao et al. 2018, sections 3.1 and 3.2), pair by pair.

    hszhao/semseg 4f274c3, `lib/psa/src/cpu/psamask.cpp`.
    """
    batch, _, rows, columns = masks.shape
    reach = (mask - 1) // 2
    out = torch.zeros(batch, rows * columns, rows * columns, dtype=masks.dtype)
    for source in range(rows * columns):
        for target in range(rows * columns):
            here, there = (target, source) if direction == "collect" else (source, target)
            down = there // columns - here // columns + reach
            right = there % columns - here % columns + reach
            if 0 <= down < mask and 0 <= right < mask:
                out[:, source, target] = masks[:, down * mask + right, here // columns, here % columns]
    return out


@pytest.mark.parametrize("tile", [2, 16])
@pytest.mark.parametrize(("size", "mask"), [((4, 3), 7), ((4, 3), 3), ((2, 5), 9), ((3, 2), 11), ((5, 5), 7)])
def test_logits_of_pairs_are_the_mask_spread(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], mask: int, tile: int
) -> None:
    """Masks as large as the map needs, smaller in one or both axes, and larger; one tile of positions, and several."""
    monkeypatch.setattr("spine_ignite_psanet.attention.TILE", tile)
    features = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(mask * mask, 4, 1, 1, dtype=torch.float64, requires_grad=True)
    expected = plain_spread(F.conv2d(features, weight), mask, "distribute")  # the source predicts
    found = pair_logits(features, weight, mask)
    torch.testing.assert_close(found, expected)
    out = torch.randn_like(expected)
    for mine, theirs in zip(*(torch.autograd.grad(x, (features, weight), out) for x in (found, expected)), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("size", [(7, 5), (8, 6)])
def test_point_wise_attention_is_its_formula(size: tuple[int, int]) -> None:
    block = PointwiseSpatialAttention(6, 4, 5)
    half = tuple((length - 1) // 2 + 1 for length in size)

    def reference(x: Tensor) -> Tensor:
        found = []
        for direction, branch in block.branches.items():
            small = F.interpolate(branch.reduce(x), half, mode="bilinear", align_corners=True)
            weights = plain_spread(branch.predict(small), 5, direction).softmax(1)
            found.append(torch.einsum("bcs,bst->bct", small.flatten(2), weights).unflatten(2, half))
        joined = block.project(torch.cat(found, 1))
        return torch.cat([x, F.interpolate(joined, size, mode="bilinear", align_corners=True)], 1)

    assert_agrees(block, reference, torch.randn(2, 6, *size))


@pytest.mark.parametrize(
    ("stride", "third", "fourth"),
    [
        (8, [2, 2, 2, 2, 2, 2], [4, 4, 4]),
    ],
)
def test_the_encoder_is_dilated_as_the_source_s(stride: int, third: list[int], fourth: list[int]) -> None:
    """hszhao/semseg 4f274c3, `model/psanet.py`: all blocks of a stage alike."""
    with torch.device("meta"):
        stages = create_model("psanet", 1, 2, backbone="resnet50s", output_stride=stride).encoder.net
    assert [block.conv2.dilation[0] for block in stages.layer3] == third
    assert [block.conv2.dilation[0] for block in stages.layer4] == fourth


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "all"}, "attention: input should be 'both', 'collect' or 'distribute'"),
        ({"crop": 16}, "crop: input should be greater than or equal to 33"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("psanet", 1, 2, **options)
    assert message in str(caught.value)


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """hszhao/semseg 4f274c3, `model/psanet.py`, resizes them with `align_corners=True`."""
    assert load_registry().find("psanet").value.aux_align_corners is True
