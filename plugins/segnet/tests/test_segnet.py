from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.nn.timm_import import import_timm
from spine_ignite.testing import ModelConformance


class TestSegNet(ModelConformance):
    model = "segnet"
    bfloat16_tolerance = 0.25  # rounding moves some maxima to a neighbouring pixel
    options: ClassVar[dict[str, Any]] = {"backbone": "vgg11_bn"}

    @pytest.fixture(autouse=True)
    def _narrow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A quarter of VGG's channels make the kit fast; VGG has no option for that."""
        table = import_timm().models.vgg.cfgs
        monkeypatch.setitem(table, "vgg11", [part if part == "M" else part // 4 for part in table["vgg11"]])


@pytest.mark.parametrize(("in_channels", "classes", "millions"), [(3, 21, 29.455), (1, 20, 29.453), (3, 11, 29.449)])
def test_the_authors_network_has_its_size(in_channels: int, classes: int, millions: float) -> None:
    """The 13 convolutions of VGG16 there and back, each with bias, all but the last with batch norm."""
    widths = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]
    total, before = 0, in_channels
    for width, number in widths:
        for _ in range(number):
            total += 9 * before * width + width + 2 * width
            before = width
    outputs = [classes, 64, 128, 256, 512]
    for (width, number), output in zip(widths, outputs, strict=True):
        total += (number - 1) * (9 * width * width + 3 * width) + 9 * width * output + 3 * output
    total -= 2 * classes
    with torch.device("meta"):
        network = create_model("segnet", in_channels, classes)
    assert sum(p.numel() for p in network.parameters()) == total
    assert total / 1e6 == pytest.approx(millions, abs=6e-4)


def test_values_return_to_the_place_they_came_from() -> None:
    """What each decoder stage is given is zero but for the places of the maxima in the matching encoder stage."""
    network = create_model("segnet", 1, 2, backbone="vgg11_bn").eval()
    seen: dict[int, torch.Tensor] = {}
    for number, stage in enumerate(network.encoder):
        stage.register_forward_hook(lambda _m, _i, out, number=number: seen.__setitem__(number, out))
    inputs: dict[int, torch.Tensor] = {}
    for number, stage in enumerate(network.decoder):
        stage.register_forward_pre_hook(lambda _m, args, number=number: inputs.__setitem__(number, args[0]))
    with torch.inference_mode():
        network(torch.randn(1, 1, 70, 64))
    for number, given in inputs.items():
        assert given.shape == seen[number].shape
        height, width = given.shape[2] // 2 * 2, given.shape[3] // 2 * 2
        windows = [x[..., :height, :width].unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2) for x in (given, seen[number])]
        values, features = windows
        assert int((values != 0).sum(-1).max()) <= 1
        place = values.abs().argmax(-1, keepdim=True)
        chosen = features.gather(-1, place)[..., 0]
        written = values.abs().amax(-1) > 0
        assert torch.equal(chosen[written], features.amax(-1)[written])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "vgg16"}, "backbone: input should be 'vgg11_bn', 'vgg13_bn', 'vgg16_bn' or 'vgg19_bn'"),
        ({"weights": "nowhere.pth"}, "nowhere.pth' is not a file"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("segnet", 1, 2, **options)
    assert message in str(caught.value)
