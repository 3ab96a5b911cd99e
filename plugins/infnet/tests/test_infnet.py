from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.spec import ModelOutput
from spine_ignite.testing import ModelConformance


class TestInfNet(ModelConformance):
    model = "infnet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 16}


class TestClasswise(ModelConformance):
    model = "infnet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet10t", "channels": 16, "reverse": "classwise"}


def conv(inputs: int, outputs: int, rows: int, columns: int = 0, norm: int = 2) -> int:
    """Parameters of a convolution without bias, with batch norm (two per channel)."""
    return inputs * outputs * rows * (columns or rows) + norm * outputs


def block(inputs: int) -> int:
    """PraNet's receptive field block with 32 channels."""
    total = conv(inputs, 32, 1)
    for size in (3, 5, 7):
        total += conv(inputs, 32, 1) + conv(32, 32, 1, size) + conv(32, 32, size, 1) + conv(32, 32, 3)
    return total + conv(128, 32, 3) + conv(inputs, 32, 1)


def decoder(classes: int) -> int:
    return 4 * conv(32, 32, 3) + 2 * conv(64, 64, 3) + 2 * conv(96, 96, 3) + 97 * classes


@pytest.mark.parametrize(("classes", "millions"), [(1, 31.073), (20, 31.101)])
def test_the_network_has_the_size_of_its_layers(classes: int, millions: float) -> None:
    """The binary network of the release without its unused classifier, and the one for 20 classes."""
    total = 23_669_352 + sum(block(level) for level in (512, 1024, 2048)) + decoder(classes)
    total += conv(256, 64, 1) + 2 * conv(64, 64, 3) + conv(64, 1, 3)
    total += conv(2048, 256, 1) + conv(256 + 64, 256, 5) + 2 * conv(256, 256, 5) + conv(256, classes, 1)
    for level in (512, 1024):
        total += conv(level, 64, 1) + conv(64 + 64, 64, 3) + conv(64, 64, 3) + conv(64, classes, 3)
    assert total / 1e6 == pytest.approx(millions, abs=6e-4)
    if classes > 1:
        with torch.device("meta"):
            network = create_model("infnet", 3, classes)
        assert sum(p.numel() for p in network.parameters()) == total


def test_edges_are_supervised_and_guide_the_stages() -> None:
    network = create_model("infnet", 1, 3, backbone="resnet18", channels=16)
    image = torch.randn(2, 1, 64, 64)
    output = network.train()(image)
    assert isinstance(output, ModelOutput)
    edge = output.aux["edge"]
    assert (edge.logits.shape, edge.weight, edge.target) == ((2, 1, 16, 16), 1.0, "edge")
    with torch.inference_mode():
        before = network.eval()(image)
        network.edge[0][1].bias.add_(5)
        assert not torch.allclose(network(image), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reverse": "maximum"}, "reverse: input should be 'foreground' or 'classwise'"),
        ({"channels": 4}, "channels: input should be greater than or equal to 8"),
        ({"backbone": "vit_tiny_patch16_224"}, "gives no feature pyramid"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("infnet", 1, 2, **options)
    assert message in str(caught.value)


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """DengPingFan/Inf-Net d4dd1e8, `InfNet_Res2Net.py`: `F.interpolate` without the argument, which is False."""
    assert load_registry().find("infnet").value.aux_align_corners is False
