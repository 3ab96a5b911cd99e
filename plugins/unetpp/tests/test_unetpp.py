from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.spec import ModelOutput
from spine_ignite.testing import ModelConformance, assert_agrees
from spine_ignite_unetpp.grid import NestedDecoder, double_convolution

RELEASE: dict[str, Any] = {"norm": "none"}


class TestUNetPlusPlus(ModelConformance):
    model = "unetpp"
    learn_rate = 3e-2
    options: ClassVar[dict[str, Any]] = {"width": 4}


class TestDeepSupervision(ModelConformance):
    model = "unetpp"
    learn_rate = 1e-2
    options: ClassVar[dict[str, Any]] = {"width": 4, "depth": 4, "norm": "instance", "deep_supervision": True}


class TestBackbone(ModelConformance):
    model = "unetpp"
    sizes = ((64, 64), (65, 97), (160, 113))
    options: ClassVar[dict[str, Any]] = {"backbone": "convnext_atto", "deep_supervision": True}


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("unetpp", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


def from_the_layer_table(in_channels: int, classes: int) -> int:
    """Two 3x3 convolutions per node, 2x2 transposed ones between the levels, a 1x1 one, all with biases."""
    widths = [32, 64, 128, 256, 512]
    total = widths[0] * classes + classes
    for j in range(5):
        for i in range(5 - j):
            inputs = (j + 1) * widths[i] if j else [in_channels, *widths][i]
            total += 9 * inputs * widths[i] + widths[i] + 9 * widths[i] ** 2 + widths[i]
            total += (4 * widths[i + 1] * widths[i] + widths[i]) if j else 0
    return total


def test_the_authors_network_has_its_size() -> None:
    """9,041,601 parameters for one channel and one class, as the header of their file says."""
    assert from_the_layer_table(1, 1) == 9_041_601
    assert count(1, 2, **RELEASE) == from_the_layer_table(1, 2)
    assert count(3, 2, **RELEASE) == from_the_layer_table(3, 2)
    assert count(1, 20, **RELEASE, deep_supervision=True) == from_the_layer_table(1, 20) + 3 * (32 * 20 + 20)


def test_each_node_sees_its_row_and_the_node_below() -> None:
    """Equation 1 of the paper, node by node, on three levels."""
    grid = NestedDecoder([2, 3, 4], [2, 3], "batch", 0.0)

    def node(i: int, j: int, *inputs: Tensor) -> Tensor:
        *row, below = inputs
        conv = grid.up[f"{i}_{j}"]
        batch, _, height, width = below.shape
        up = torch.einsum("bchw,coij->bohiwj", below, conv.weight).reshape(batch, -1, 2 * height, 2 * width)
        return grid.node[f"{i}_{j}"](torch.cat([*row, up + conv.bias.view(1, -1, 1, 1)], 1))

    class Last(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.grid = grid

        def forward(self, *features: Tensor) -> Tensor:
            return torch.cat(self.grid(features), 1)

    def reference(x00: Tensor, x10: Tensor, x20: Tensor) -> Tensor:
        x01 = node(0, 1, x00, x10)
        x11 = node(1, 1, x10, x20)
        return torch.cat([x01, node(0, 2, x00, x01, x11)], 1)

    assert_agrees(Last(), reference, torch.randn(1, 2, 8, 12), torch.randn(1, 3, 4, 6), torch.randn(1, 4, 2, 3))


@pytest.mark.parametrize("supervised", [False, True])
@pytest.mark.parametrize("size", [(24, 16), (21, 19)])
def test_the_network_is_the_authors_file(size: tuple[int, int], supervised: bool) -> None:
    """MrGiovanni/UNetPlusPlus 2659ddc, `UNetPlusPlus` in `keras/helper_functions.py`, which does not run here.

    Node by node, then the classifiers; what is upsampled comes behind a node's row here, there before it. With
    deep supervision the mean of their probabilities (Zhou et al. 2020, the accurate mode), as a logarithm.
    """
    network = create_model("unetpp", 2, 3, width=4, depth=4, deep_supervision=supervised, **RELEASE)

    def node(block: Any, x: Tensor) -> Tensor:
        for conv in (block[0][0], block[2][0]):
            x = F.conv2d(x, conv.weight, conv.bias, padding=1).clamp_min(0)
        return x

    def halved(x: Tensor) -> Tensor:
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), value=-torch.inf)
        return torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)

    def doubled(conv: Any, x: Tensor, like: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        x = torch.einsum("bchw,coij->bohiwj", x, conv.weight).reshape(batch, -1, 2 * height, 2 * width)
        return (x + conv.bias[:, None, None])[..., : like.shape[2], : like.shape[3]]

    def reference(x: Tensor) -> Tensor:
        found: dict[tuple[int, int], Tensor] = {}
        for level, block in enumerate(network.encoder.levels):
            found[level, 0] = node(block, halved(found[level - 1, 0]) if level else x)
        for j in range(1, 4):
            for i in range(4 - j):
                below = doubled(network.decoder.up[f"{i}_{j}"], found[i + 1, j - 1], found[i, 0])
                row = [found[i, k] for k in range(j)]
                found[i, j] = node(network.decoder.node[f"{i}_{j}"], torch.cat([*row, below], 1))
        logits = [
            torch.einsum("bchw,oc->bohw", found[0, j], head.weight[..., 0, 0]) + head.bias[:, None, None]
            for j, head in zip((1, 2, 3) if supervised else (3,), network.heads, strict=True)
        ]
        return torch.stack([x.softmax(1) for x in logits]).mean(0).log() if supervised else logits[0]

    assert_agrees(network, reference, torch.randn(2, 2, *size))


def test_dropout_takes_single_values() -> None:
    """As Keras' Dropout in the authors' file, not whole channels; what stays is doubled at a rate of a half."""
    conv, dropout, *_ = double_convolution(1, 4, "none", 0.5).train()
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.fill_(float(parameter.ndim == 1))
        found = dropout(conv(torch.ones(2, 1, 16, 16)))
    for channel in found.flatten(0, 1):
        assert set(channel.unique().tolist()) == {0.0, 2.0}


def test_eval_mode_averages_the_probabilities() -> None:
    network = create_model("unetpp", 1, 3, width=4, depth=4, deep_supervision=True)
    image = torch.randn(2, 1, 64, 64)
    network.train()
    for part in network.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.eval()
    output = network(image)
    assert isinstance(output, ModelOutput)
    heads = [output.logits, *(aux.logits for aux in output.aux.values())]
    assert len(heads) == 3
    mean = torch.stack([head.softmax(1) for head in heads]).mean(0)
    torch.testing.assert_close(network.eval()(image), mean.log())


@pytest.mark.parametrize("backbone", ["vgg11", "convnext_atto"])
def test_encoders_that_round_down_or_start_elsewhere(backbone: str) -> None:
    """VGG starts at stride 1, ConvNeXt at 4; both round odd sizes down."""
    network = create_model("unetpp", 1, 4, backbone=backbone).eval()
    with torch.inference_mode():
        for size in ((65, 97), (71, 128)):
            assert network(torch.randn(1, 1, *size)).shape == (1, 4, *size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 1}, "depth: input should be greater than or equal to 2"),
        ({"backbone": "resnet_34"}, "backbone 'resnet_34' is not one of timm's. Did you mean 'resnet34'?"),
        ({"pretrained": True}, "pretrained and weights need a timm encoder: set backbone"),
        ({"deep_supervison": True}, "Did you mean 'deep_supervision'?"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("unetpp", 1, 2, **options)
    assert message in str(caught.value)


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """The authors' are at full size; behind an encoder 2x2 convolutions put the levels' outer edges on each other."""
    assert load_registry().find("unetpp").value.aux_align_corners is False
