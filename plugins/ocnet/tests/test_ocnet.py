from __future__ import annotations

import copy
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.testing import ModelConformance, assert_agrees, randomise
from spine_ignite_ocnet.context import PyramidObjectContext, _HalfResolutionContext


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


def pointwise(layer: Any, x: Tensor) -> Tensor:
    """1x1 convolution with bias."""
    return torch.einsum("bchw,oc->bohw", x, layer.weight[:, :, 0, 0]) + layer.bias[:, None, None]


def norm_and_leaky_relu(layer: Any, x: Tensor) -> Tensor:
    scale = layer.weight / (layer.running_var + layer.eps) ** 0.5
    x = (x - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]
    return x.clamp_min(0) + 0.01 * x.clamp_max(0)


def dense_attention(block: Any, x: Tensor, may_look: Tensor) -> Tensor:
    """The context before it is resized: all pairs of pixels, those that may not look at each other masked."""
    query = norm_and_leaky_relu(block.transform[1], pointwise(block.transform[0], x)).flatten(2)
    logits = torch.einsum("bcn,bcm->bnm", query, query) / query.shape[1] ** 0.5
    weights = logits.masked_fill(~may_look, -torch.inf).softmax(2)
    found = torch.einsum("bnm,bcm->bcn", weights, pointwise(block.value, x).flatten(2))
    return pointwise(block.out, found.unflatten(2, x.shape[2:]))


def cell_of(length: int, grid: int) -> Tensor:
    """Number of each row's cell: equal ones, the last one with what is left; one cell if there are too few rows."""
    size = length // grid or length
    return (torch.arange(length) // size).clamp_max(grid - 1)


@pytest.mark.parametrize("size", [(6, 6), (7, 11), (5, 13), (2, 4)])
def test_pyramid_context_is_attention_within_cells_on_a_map_that_is_transformed_once(size: tuple[int, int]) -> None:
    """Section 3.3 of the paper: per grid an attention whose pairs share a cell; the norm sees the map, not the cells.

    In the release a direction with fewer pixels than cells is a single cell.
    """
    block = PyramidObjectContext(4, grids=(1, 2, 3))

    def reference(x: Tensor) -> Tensor:
        found = [norm_and_leaky_relu(block.widen[1], pointwise(block.widen[0], x))]
        for context, grid in zip(block.contexts, (1, 2, 3), strict=True):
            cells = (10 * cell_of(size[0], grid)[:, None] + cell_of(size[1], grid)).flatten()
            found.append(dense_attention(context, x, cells[:, None] == cells))
        conv, normalise, _ = block.project[0]
        return norm_and_leaky_relu(normalise, pointwise(conv, torch.cat(found, 1)))

    assert_agrees(block, reference, torch.randn(2, 4, *size))


def test_a_training_step_moves_each_norm_of_the_pyramid_once() -> None:
    """Towards the mean and variance of the whole batch of maps, whatever the grid."""
    block = randomise(PyramidObjectContext(4, grids=(1, 2, 6))).double().train()
    before = copy.deepcopy(block)
    x = torch.randn(2, 4, 13, 14, dtype=torch.float64)
    block(x)
    for now, then in zip(block.contexts, before.contexts, strict=True):
        values = pointwise(then.transform[0], x).transpose(0, 1).flatten(1)
        mean, variance = values.mean(1), values.var(1)
        torch.testing.assert_close(now.transform[1].running_mean, 0.9 * then.transform[1].running_mean + 0.1 * mean)
        torch.testing.assert_close(now.transform[1].running_var, 0.9 * then.transform[1].running_var + 0.1 * variance)
        assert now.transform[1].num_batches_tracked == 1


@pytest.mark.parametrize("size", [(5, 7), (4, 6), (1, 5)])
def test_asp_context_pools_by_two_and_rounds_down(size: tuple[int, int]) -> None:
    """Maxima of whole 2x2 windows, attention, back with aligned corners, 1x1. A single row is kept."""
    block = _HalfResolutionContext(8)

    def linear(length: int, small: int) -> Tensor:
        """Weights of linear interpolation from the first pixel's centre to the last one's."""
        place = torch.linspace(0, small - 1, length, dtype=torch.float64)
        return (1 - (place[:, None] - torch.arange(small)).abs()).clamp_min(0)

    def reference(x: Tensor) -> Tensor:
        height, width = (max(length // 2, 1) for length in size)
        rows, columns = (torch.arange(length)[: 2 * (length // 2) or 1] for length in size)
        whole = x[:, :, rows][..., columns].unflatten(3, (width, -1)).unflatten(2, (height, -1))
        small = whole.amax((3, 5))
        context = dense_attention(block[0], small, torch.ones(height * width, height * width, dtype=torch.bool))
        context = torch.einsum("bchw,ih,jw->bcij", context, linear(size[0], height), linear(size[1], width))
        return norm_and_leaky_relu(block[1][1], pointwise(block[1][0], context))

    assert_agrees(block, reference, torch.randn(2, 8, *size))


@pytest.mark.parametrize(("context", "affine"), [("pyramid", True), ("base", False), ("asp", False)])
def test_the_reduction_has_no_activation_before_the_pyramid(context: str, affine: bool) -> None:
    """In the release the 3x3 convolutions before the pyramid and in its auxiliary head have a norm alone."""
    network = create_model("ocnet", 1, 3, backbone="resnet18", channels=16, context=context).double().eval()
    for part, channels in ((network.head.reduce, 512), (network.aux_head, 256)):
        randomise(part)
        x = torch.randn(1, channels, 5, 4, dtype=torch.float64)
        symmetric = torch.allclose(part(x) + part(-x), 2 * part(torch.zeros_like(x)))
        assert symmetric is affine


@pytest.mark.parametrize(
    ("stride", "third", "fourth"),
    [
        (8, [2, 2, 2, 2, 2, 2], [4, 4, 4]),
    ],
)
def test_the_encoder_is_dilated_as_the_source_s(stride: int, third: list[int], fourth: list[int]) -> None:
    """openseg-group/OCNet.pytorch 679a45b, `network/resnet101_base_oc.py`: all blocks of a stage alike."""
    with torch.device("meta"):
        stages = create_model("ocnet", 1, 2, backbone="resnet50s", output_stride=stride).encoder.net
    assert [block.conv2.dilation[0] for block in stages.layer3] == third
    assert [block.conv2.dilation[0] for block in stages.layer4] == fourth


def test_a_multiple_of_8_gains_no_pixel() -> None:
    """Kept on purpose: the release's stem pools with `ceil_mode`, which shifts such maps; its crops are 8 n + 1."""
    encoder = create_model("ocnet", 1, 2, backbone="resnet18", channels=16).encoder
    for size in ((64, 96), (65, 97)):
        assert encoder(torch.randn(1, 1, *size))[-1].shape[2:] == (-(-size[0] // 8), -(-size[1] // 8))


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


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """openseg-group/OCNet.pytorch 679a45b, `CriterionDSN` in `utils/criterion.py`: `align_corners=True`."""
    assert load_registry().find("ocnet").value.aux_align_corners is True
