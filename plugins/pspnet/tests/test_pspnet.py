from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.testing import ModelConformance


class TestPSPNet(ModelConformance):
    model = "pspnet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32}


def conv(inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> int:
    """Parameters of a convolution."""
    return inputs * outputs * kernel * kernel + bias * outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("pspnet", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("backbone", "encoder", "classes", "millions"),
    [("resnet50s", 23_631_808, 150, 49.181), ("resnet101s", 42_623_936, 19, 68.072)],
)
def test_the_official_networks_have_their_sizes(backbone: str, encoder: int, classes: int, millions: float) -> None:
    pyramid = 4 * (conv(2048, 512) + norm(512))
    head = conv(4096, 512, 3) + norm(512) + conv(512, classes, bias=True)
    aux = conv(1024, 256, 3) + norm(256) + conv(256, classes, bias=True)
    assert count(3, classes, backbone=backbone) == encoder + pyramid + head + aux
    assert count(3, classes, backbone=backbone) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(
    ("stride", "third", "fourth"),
    [
        (8, [2, 2, 2, 2, 2, 2], [4, 4, 4]),
    ],
)
def test_the_encoder_is_dilated_as_the_source_s(stride: int, third: list[int], fourth: list[int]) -> None:
    """hszhao/semseg 4f274c3, `model/pspnet.py`: all blocks of a stage alike."""
    with torch.device("meta"):
        stages = create_model("pspnet", 1, 2, backbone="resnet50s", output_stride=stride).encoder.net
    assert [block.conv2.dilation[0] for block in stages.layer3] == third
    assert [block.conv2.dilation[0] for block in stages.layer4] == fourth


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": []}, "bins: tuple should have at least 1 item"),
        ({"output_stride": 4}, "output_stride: input should be 8, 16 or 32"),
        ({"backbone": "vgg16"}, "not available with output stride 8"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("pspnet", 1, 2, **options)
    assert message in str(caught.value)


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """hszhao/semseg 4f274c3, `model/pspnet.py`, resizes them with `align_corners=True`."""
    assert load_registry().find("pspnet").value.aux_align_corners is True
