from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.testing import ModelConformance


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
