from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.testing import ModelConformance


class TestDeepLabV3Plus(ModelConformance):
    model = "deeplabv3plus"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32}


def conv(inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> int:
    """Parameters of a convolution."""
    return inputs * outputs * kernel * kernel + bias * outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("deeplabv3plus", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


class TestSeparable(ModelConformance):
    model = "deeplabv3plus"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32, "separable": True, "output_stride": 8}


def test_the_network_with_resnet_101_has_its_size() -> None:
    """59.344 M with 21 classes."""
    pyramid = conv(2048, 256) + 3 * conv(2048, 256, 3) + conv(2048, 256) + conv(5 * 256, 256) + 6 * norm(256)
    decoder = conv(256, 48) + norm(48) + conv(304, 256, 3) + conv(256, 256, 3) + 2 * norm(256)
    assert count(3, 21) == 42_500_160 + pyramid + decoder + conv(256, 21, bias=True)
    assert count(3, 21) / 1e6 == pytest.approx(59.344, abs=5e-4)


def test_xception_brings_separable_convolutions() -> None:
    """Section 3.2: each 3x3 convolution becomes a depthwise one and a 1x1 one, batch norm after both."""

    def separable(inputs: int) -> int:
        return 9 * inputs + norm(inputs) + conv(inputs, 256) + norm(256)

    pyramid = 2 * (conv(2048, 256) + norm(256)) + 3 * separable(2048) + conv(5 * 256, 256) + norm(256)
    decoder = conv(256, 48) + norm(48) + separable(304) + separable(256) + conv(256, 21, bias=True)
    assert count(3, 21, backbone="xception65") == 37_867_312 + pyramid + decoder
    # The port that models.md counts (54.705 M) has plain convolutions, and fine features of 128 channels, not 256.
    plain = count(3, 21, backbone="xception65", separable=False)
    assert (plain - 128 * 48) / 1e6 == pytest.approx(54.705, abs=5e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low_channels": 0}, "low_channels: input should be greater than or equal to 4"),
        ({"multi_grid": []}, "multi_grid: tuple should have at least 1 item"),
        ({"seperable": True}, "Did you mean 'separable'?"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("deeplabv3plus", 1, 2, **options)
    assert message in str(caught.value)
