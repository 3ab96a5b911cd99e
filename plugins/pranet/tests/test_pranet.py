from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.spec import ModelOutput
from spine_ignite.testing import ModelConformance, randomise


class TestPraNet(ModelConformance):
    model = "pranet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 16}


class TestClasswise(ModelConformance):
    model = "pranet"
    learn_steps = 300
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


@pytest.mark.parametrize(("classes", "millions"), [(1, 30.498), (20, 30.527)])
def test_the_network_has_the_size_of_its_layers(classes: int, millions: float) -> None:
    """The binary network of the release without its unused classifier, and the one for 20 classes."""
    total = 23_669_352 + sum(block(level) for level in (512, 1024, 2048)) + decoder(classes)
    total += conv(2048, 256, 1) + 3 * conv(256, 256, 5) + conv(256, classes, 1)
    total += sum(conv(level, 64, 1) + 2 * conv(64, 64, 3) + conv(64, classes, 3) for level in (512, 1024))
    assert total / 1e6 == pytest.approx(millions, abs=6e-4)
    if classes > 1:
        with torch.device("meta"):
            network = create_model("pranet", 3, classes)
        assert sum(p.numel() for p in network.parameters()) == total


def test_all_maps_are_supervised_with_weight_one() -> None:
    output = create_model("pranet", 1, 3, backbone="resnet18", channels=16).train()(torch.randn(2, 1, 64, 96))
    assert isinstance(output, ModelOutput)
    shapes = [(tuple(aux.logits.shape), aux.weight) for aux in output.aux.values()]
    assert shapes == [((2, 3, 8, 12), 1.0), ((2, 3, 2, 3), 1.0), ((2, 3, 4, 6), 1.0)]


def test_classes_are_told_apart_at_every_pixel() -> None:
    """Maps with one channel each would give logits of rank 4; ours have a map for each class."""
    network = create_model("pranet", 1, 20, backbone="resnet18", channels=16).eval()
    randomise(network.decoder)
    with torch.inference_mode():
        logits = network(torch.randn(1, 1, 128, 128))[0].flatten(1)
    assert torch.linalg.matrix_rank(logits - logits.mean(0)) > 4


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
        create_model("pranet", 1, 2, **options)
    assert message in str(caught.value)


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """DengPingFan/PraNet 95f12bd, `lib/PraNet_Res2Net.py`: `F.interpolate` without the argument, which is False."""
    assert load_registry().find("pranet").value.aux_align_corners is False
