from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.testing import ModelConformance, assert_agrees, randomise
from spine_ignite_caranet.context import FeaturePyramid, SingleAxisAttention


class TestCaraNet(ModelConformance):
    model = "caranet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 16}


class TestClasswise(ModelConformance):
    model = "caranet"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet10t", "channels": 16, "reverse": "classwise"}


def conv(inputs: int, outputs: int, rows: int, columns: int = 0, norm: int = 2) -> int:
    """Parameters of a convolution without bias, with batch norm (two per channel)."""
    return inputs * outputs * rows * (columns or rows) + norm * outputs


@pytest.mark.parametrize(("classes", "millions"), [(1, 44.594), (20, 44.612)])
def test_the_network_has_the_size_of_its_layers(classes: int, millions: float) -> None:
    """The binary network of the release without its unused classifier, and the one for 20 classes."""
    reduce = sum(conv(level, 32, 3, norm=3) for level in (512, 1024, 2048))
    decoder = 4 * 9 * 32 * 32 + 2 * 9 * 64 * 64 + 2 * 9 * 96 * 96 + 97 * classes
    axial = 32 * 32 + 9 * 32 * 32 + 2 * (2 * 32 * 4 + 32 * 32 + 1)
    chain = (2 * 4 * 9 + 6) + (2 * 9 + 6) + (4 * 9 + 12)
    pyramid = 3 * 32 + conv(32, 8, 3, norm=3) + 4 * chain + 3 * 32 + 32 * 32
    assert (axial, pyramid) == (12_802, 4_144)
    stages = 3 * (pyramid + axial + 2 * conv(32, 32, 3, norm=3) + conv(32, classes, 3, norm=3))
    total = 43_176_920 + reduce + decoder + stages
    assert total / 1e6 == pytest.approx(millions, abs=6e-4)
    if classes > 1:
        with torch.device("meta"):
            network = create_model("caranet", 3, classes)
            encoder = sum(p.numel() for p in network.encoder.parameters())
        assert sum(p.numel() for p in network.parameters()) == total - 43_176_920 + encoder
        assert encoder / 1e6 == pytest.approx(43.177, abs=6e-4)


def along_width(block: Any, x: Tensor) -> Tensor:
    """A = sigmoid(sum over channels and rows of q k), W x W for each image.

    Lou et al. 2022, section 2.3; AngeLouCN/CaraNet 052ed72, `lib/self_attention.py`, mode "w".
    """
    query, key, value = (torch.einsum("bchw,oc->bohw", x, part.weight[..., 0, 0]) for part in parts(block))
    weights = 1 / (1 + (-torch.einsum("bchi,bchj->bij", query, key)).exp())
    return block.gamma * torch.einsum("bij,bchj->bchi", weights, value) + x


def along_height(block: Any, x: Tensor) -> Tensor:
    query, key, value = (torch.einsum("bchw,oc->bohw", x, part.weight[..., 0, 0]) for part in parts(block))
    weights = 1 / (1 + (-torch.einsum("bciw,bcjw->bij", query, key)).exp())
    return block.gamma * torch.einsum("bij,bcjw->bciw", weights, value) + x


def parts(block: Any) -> tuple[Any, Any, Any]:
    return block.query, block.key, block.value


@pytest.mark.parametrize("size", [(5, 5), (4, 7), (7, 3)])
def test_axial_attention_is_its_formula(size: tuple[int, int]) -> None:
    x = torch.randn(2, 16, *size)
    width, height = SingleAxisAttention(16, "width"), SingleAxisAttention(16, "height")
    assert_agrees(width, lambda given: along_width(width, given), x)
    assert_agrees(height, lambda given: along_height(height, given), x)


def test_the_release_s_height_axis_is_the_width_on_square_maps_and_neither_on_others() -> None:
    block = randomise(SingleAxisAttention(16, "release")).double()
    square, other = (torch.randn(2, 16, *size, dtype=torch.float64) for size in ((6, 6), (4, 6)))
    torch.testing.assert_close(block(square), along_width(block, square))
    assert not torch.allclose(block(other), along_width(block, other), atol=1e-3)
    assert not torch.allclose(block(other), along_height(block, other), atol=1e-3)


def test_the_feature_pyramid_sums_its_chains() -> None:
    block = FeaturePyramid(16, 8)

    def plain(part: Any, x: Tensor) -> Tensor:
        conv, norm, act = part
        x = F.conv2d(x, conv.weight, None, 1, conv.padding, conv.dilation, conv.groups)
        return activated([norm, act], x)

    def activated(part: Any, x: Tensor) -> Tensor:
        norm, act = part
        scale = norm.weight / (norm.running_var + norm.eps) ** 0.5
        x = (x - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]
        return x.clamp_min(0) + act.weight.view(1, -1, 1, 1) * x.clamp_max(0)

    def reference(x: Tensor) -> Tensor:
        reduced = plain(block.reduce, activated(block.before, x))
        outputs = []
        for first, second, third in block.chains:
            one = plain(first, reduced)
            two = plain(second, one)
            outputs.append(torch.cat([one, two, plain(third, two)], 1))
        sums = torch.cat([sum(outputs[: n + 1]) for n in range(4)], 1)
        joined = activated(block.after[0], sums)
        return torch.einsum("bchw,oc->bohw", joined, block.after[1].weight[..., 0, 0]) + x

    assert_agrees(block, reference, torch.randn(2, 16, 7, 6))
    assert [chain[0][0].dilation[0] for chain in block.chains] == [1, 3, 5, 9]


def test_the_release_s_height_axis_is_an_option() -> None:
    x = torch.randn(1, 1, 64, 128)
    networks = [
        create_model("caranet", 1, 2, backbone="resnet18", height_axis=axis).eval() for axis in ("paper", "release")
    ]
    networks[1].load_state_dict(networks[0].state_dict())
    with torch.inference_mode():
        assert torch.equal(networks[0](x), networks[1](x))  # gamma starts at zero
        for network in networks:
            for stage in network.stages:
                stage.prepare[1].height.gamma.fill_(0.5)
        assert not torch.allclose(networks[0](x), networks[1](x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reverse": "maximum"}, "reverse: input should be 'foreground' or 'classwise'"),
        ({"height_axis": True}, "height_axis: input should be 'paper' or 'release'"),
        ({"channels": 4}, "channels: input should be a multiple of 16"),
        ({"backbone": "vit_tiny_patch16_224"}, "gives no feature pyramid"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("caranet", 1, 2, **options)
    assert message in str(caught.value)


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """AngeLouCN/CaraNet 052ed72, `CaraNet.py`: `F.interpolate` without the argument, which is False."""
    assert load_registry().find("caranet").value.aux_align_corners is False
