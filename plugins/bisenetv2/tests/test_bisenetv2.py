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
from spine_ignite_bisenetv2.model import GuidedAggregation
from spine_ignite_bisenetv2.semantic import GatherExpansion


class TestBiSeNetV2(ModelConformance):
    model = "bisenetv2"
    options: ClassVar[dict[str, Any]] = {"head_channels": 64}


class TestPort(ModelConformance):
    model = "bisenetv2"
    sizes = ((64, 64), (65, 97), (160, 113))
    options: ClassVar[dict[str, Any]] = {"head_channels": 64, "design": "port"}


class TestWithoutBoosters(ModelConformance):
    model = "bisenetv2"
    learn_rate = 1e-2
    options: ClassVar[dict[str, Any]] = {"head_channels": 64, "boosters": False}


def conv(inputs: int, outputs: int, kernel: int = 3, groups: int = 1) -> int:
    """Parameters of a convolution with batch norm."""
    return inputs * outputs * kernel * kernel // groups + 2 * outputs


def gather(inputs: int, outputs: int, stride: int) -> int:
    wide = 6 * inputs
    total = conv(inputs, inputs) + conv(inputs, wide, 3, inputs) + conv(wide, outputs, 1)
    if stride == 2:
        total += conv(wide, wide, 3, wide) + conv(inputs, inputs, 3, inputs) + conv(inputs, outputs, 1)
    return total


def test_both_designs_have_the_sizes_of_their_layers() -> None:
    """The port: 5.231 M with boosters, 3.359 M without, for three channels and 19 classes (CoinCheung/BiSeNet 6b4b67a).

    The paper's boosters are those of the port's first version (3.646 M with them), and its context embedding ends in a
    plain convolution: a bias for each channel in place of a batch norm.
    """
    detail = conv(3, 64) + 4 * conv(64, 64) + conv(64, 128) + 2 * conv(128, 128)
    semantic = conv(3, 16) + conv(16, 8, 1) + conv(8, 16) + conv(32, 16)
    semantic += gather(16, 32, 2) + gather(32, 32, 1) + gather(32, 64, 2) + gather(64, 64, 1)
    semantic += gather(64, 128, 2) + 3 * gather(128, 128, 1)
    semantic += 2 * 128 + conv(128, 128, 1) + conv(128, 128)
    separable = conv(128, 128, 3, 128) + 128 * 128
    aggregation = 2 * separable + 3 * conv(128, 128)
    head = conv(128, 1024) + 1024 * 19 + 19
    boosters = sum(
        conv(channels, 128) + conv(128, stride**2) + stride**2 * 19 + 19
        for channels, stride in ((16, 4), (32, 8), (64, 16), (128, 32))
    )
    parts = [part / 1e6 for part in (detail, semantic, aggregation, head, boosters)]
    assert parts == pytest.approx([0.519, 1.160, 0.479, 1.201, 1.873], abs=6e-4)
    inference = detail + semantic + aggregation + head
    assert count(3, 19, design="port", boosters=False) == inference
    assert inference / 1e6 == pytest.approx(3.359, abs=6e-4)
    assert count(3, 19, design="port") == inference + boosters
    assert (inference + boosters) / 1e6 == pytest.approx(5.231, abs=6e-4)
    plain = sum(conv(channels, 128) + 128 * 19 + 19 for channels in (16, 32, 64, 128))
    assert (inference + plain) / 1e6 == pytest.approx(3.646, abs=6e-4)
    assert count(3, 19, boosters=False) == inference - 128
    assert count(3, 19) == inference - 128 + plain


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("bisenetv2", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("design", "finest"), [("paper", 4), ("port", 2)])
def test_boosters_take_no_part_in_inference(design: str, finest: int) -> None:
    network = create_model("bisenetv2", 1, 3, head_channels=32, design=design)
    image = torch.randn(2, 1, 64, 96)
    output = network.train()(image)
    assert isinstance(output, ModelOutput)
    shapes = [tuple(aux.logits.shape[2:]) for aux in output.aux.values()]
    assert shapes == [(64 // stride, 96 // stride) for stride in (finest, 2 * finest, 4 * finest, 8 * finest)]
    network.eval()
    with torch.inference_mode():
        before = network(image)
        for parameter in network.network.boosters.parameters():
            parameter.fill_(float("nan"))
        assert torch.equal(network(image), before)


def plain_norm(layer: Any, x: Tensor) -> Tensor:
    scale = layer.weight / (layer.running_var + layer.eps) ** 0.5
    return (x - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]


def part(module: Any, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    """Convolution that keeps the size (or halves it), and norm."""
    weight = module[0].weight
    return plain_norm(module[1], F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=groups))


def plain_gather(layer: Any, x: Tensor, stride: int, design: str) -> Tensor:
    """3x3, depthwise 3x3 (twice with stride 2) to six times the channels, 1x1; a ReLU before that in the port only."""
    channels = x.shape[1]
    first, *wide, last = layer.branch
    found = part(wide[0], part(first, x).clamp_min(0), stride, channels)
    if stride == 2:
        found = part(wide[1], found, 1, 6 * channels)
    found = part(last, found.clamp_min(0) if design == "port" else found)
    if stride == 2:
        x = part(layer.shortcut[1], part(layer.shortcut[0], x, 2, channels))
    return (found + x).clamp_min(0)


@pytest.mark.parametrize("design", ["paper", "port"])
@pytest.mark.parametrize("stride", [1, 2])
def test_gather_and_expansion_is_its_formula(design: Any, stride: int) -> None:
    layer = GatherExpansion(3, 3 if stride == 1 else 5, stride, design)
    assert_agrees(layer, lambda x: plain_gather(layer, x, stride, design), torch.randn(2, 3, 8, 6))


def plain_aggregation(block: Any, detail: Tensor, semantic: Tensor, design: str) -> Tensor:
    """Yu et al. 2021, figure 6; in the port repeated pixels, means with the padding, a ReLU at the end."""
    port = design == "port"

    def separable(pair: Any, x: Tensor) -> Tensor:
        return torch.einsum("bchw,oc->bohw", part(pair[0], x, 1, x.shape[1]), pair[1].weight[..., 0, 0])

    def means(x: Tensor) -> Tensor:
        """Means over 3x3 pixels around every second one, of the pixels that exist; in the port with the padding."""
        ones = F.pad(torch.ones_like(x), (1, 1, 1, 1), value=float(port))
        padded = F.pad(x, (1, 1, 1, 1))
        total, number = torch.zeros_like(x[..., ::2, ::2]), torch.zeros_like(x[..., ::2, ::2])
        for i in range(3):
            for j in range(3):
                window = (..., slice(i, i + x.shape[2], 2), slice(j, j + x.shape[3], 2))
                total, number = total + padded[window], number + ones[window]
        return total / number

    def up(x: Tensor) -> Tensor:
        if port:
            return x.repeat_interleave(4, 2).repeat_interleave(4, 3)
        return F.interpolate(x, scale_factor=4.0, mode="bilinear", align_corners=False)

    coarse = means(part(block.detail_coarse[0], detail, 2))
    fine = separable(block.detail_fine, detail) / (1 + (-up(part(block.semantic_fine, semantic))).exp())
    both = fine + up(coarse / (1 + (-separable(block.semantic_coarse, semantic)).exp()))
    out = part(block.project, both)
    return out.clamp_min(0) if port else out


@pytest.mark.parametrize("design", ["paper", "port"])
def test_guided_aggregation_is_its_formula(design: Any) -> None:
    block = GuidedAggregation(4, design)
    inputs = torch.randn(2, 4, 16, 8), torch.randn(2, 4, 4, 2)
    assert_agrees(block, lambda detail, semantic: plain_aggregation(block, detail, semantic, design), *inputs)


@pytest.mark.parametrize("design", ["paper", "port"])
@pytest.mark.parametrize("size", [(64, 96), (33, 70)])
def test_the_network_is_the_paper_s_table(design: str, size: tuple[int, int]) -> None:
    """Yu et al. 2021, table 1 and figures 4 to 6, of which no official code is known: layer by layer.

    Sizes are filled up to multiples of 32 with the border's pixels.
    """
    network = create_model("bisenetv2", 2, 3, head_channels=16, design=design, boosters=False)
    net: Any = network.network

    def block(module: Any, x: Tensor, stride: int = 1) -> Tensor:
        return part(module, x, stride).clamp_min(0)

    def reference(x: Tensor) -> Tensor:
        rows, columns = (torch.arange(-(-length // 32) * 32).clamp_max(length - 1) for length in size)
        x = x[:, :, rows][..., columns]
        detail = x
        for module, stride in zip(net.detail, (2, 1, 2, 1, 1, 2, 1, 1), strict=True):
            detail = block(module, detail, stride)
        branch = net.semantic
        y = block(branch.stem.first, x, 2)
        left = block(branch.stem.left[1], block(branch.stem.left[0], y), 2)
        around = F.pad(y, (1, 1, 1, 1), value=-torch.inf).unfold(2, 3, 2).unfold(3, 3, 2)
        y = block(branch.stem.fuse, torch.cat([left, around.amax((-2, -1))], 1))
        for stage in (branch.stage3, branch.stage4, branch.stage5):
            for number, layer in enumerate(stage):
                y = plain_gather(layer, y, 1 if number else 2, design)
        _, norm, conv = branch.context.mean
        y = y + block(conv, plain_norm(norm, y.mean((2, 3), keepdim=True)))
        last = branch.context.conv
        y = F.conv2d(y, last.weight, last.bias, padding=1) if design == "paper" else block(last, y)
        y = plain_aggregation(net.aggregate, detail, y, design)
        first, _, classify = net.head
        y = F.conv2d(block(first, y), classify.weight, classify.bias)
        return F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=False)[..., : size[0], : size[1]]

    assert_agrees(network, reference, torch.randn(2, 2, *size))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head_channels": 0}, "head_channels: input should be greater than or equal to 16"),
        ({"design": "figure"}, "design: input should be 'paper' or 'port'"),
        ({"booster": False}, "Did you mean 'boosters'?"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("bisenetv2", 1, 2, **options)
    assert message in str(caught.value)


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """The paper leaves it open; CoinCheung/BiSeNet 6b4b67a, `lib/models/bisenetv2.py`: `align_corners=False`."""
    assert load_registry().find("bisenetv2").value.aux_align_corners is False
