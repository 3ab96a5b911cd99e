from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.testing import ModelConformance, assert_agrees
from spine_ignite_ocnet.context import PyramidObjectContext


class TestOCNet(ModelConformance):
    model = "ocnet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32}


def conv(inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> int:
    """Parameters of a convolution."""
    return inputs * outputs * kernel * kernel + bias * outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("ocnet", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


class TestPyramid(ModelConformance):
    model = "ocnet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 16, "context": "pyramid"}


class TestASP(ModelConformance):
    model = "ocnet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32, "context": "asp"}


@pytest.mark.parametrize(("context", "millions"), [("base", 57.723), ("asp", 62.542), ("pyramid", 62.584)])
def test_the_official_networks_have_their_sizes(context: str, millions: float) -> None:
    shared = 42_623_936 + conv(1024, 512, 3, bias=True) + norm(512) + conv(512, 19, bias=True)
    shared += conv(2048, 512, 3, bias=True) + norm(512) + conv(512, 19, bias=True)

    def attention(channels: int, key: int, value: int) -> int:
        transform = conv(channels, key, bias=True) + norm(key)
        return transform + conv(channels, value, bias=True) + conv(value, channels, bias=True)

    blocks = {
        "base": attention(512, 256, 256) + conv(1024, 512, bias=True) + norm(512),
        "pyramid": 4 * attention(512, 256, 512)
        + conv(512, 2048, bias=True) + norm(2048) + conv(4096, 512, bias=True) + norm(512),
        "asp": conv(512, 256, 3, bias=True) + attention(256, 128, 256) + conv(256, 256, bias=True)
        + conv(512, 256) + 3 * conv(512, 256, 3) + 6 * norm(256) + conv(1280, 512) + norm(512),
    }  # fmt: skip
    assert count(3, 19, context=context) == shared + blocks[context]
    assert count(3, 19, context=context) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize("size", [(6, 6), (7, 11), (5, 13)])
def test_pyramid_context_stays_within_its_cells(size: tuple[int, int]) -> None:
    block = PyramidObjectContext(4, grids=(1, 2))

    def reference(x: Tensor) -> Tensor:
        height, width = x.shape[2] // 2, x.shape[3] // 2
        halves = torch.zeros_like(x)
        for rows in (slice(None, height), slice(height, None)):
            for columns in (slice(None, width), slice(width, None)):
                halves[:, :, rows, columns] = block.contexts[1](x[:, :, rows, columns])
        return block.project(torch.cat([block.widen(x), block.contexts[0](x), halves], 1))

    assert_agrees(block, reference, torch.randn(1, 4, *size))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": "aspp"}, "context: input should be 'base', 'pyramid' or 'asp'"),
        ({"backbone": "resnet"}, "backbone 'resnet' is not one of timm's"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("ocnet", 1, 2, **options)
    assert message in str(caught.value)
