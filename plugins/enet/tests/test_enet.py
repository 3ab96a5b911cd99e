from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.errors import RunError, UsageError
from spine_ignite.models import create_model
from spine_ignite.testing import ModelConformance, assert_agrees
from spine_ignite_enet.bottlenecks import Bottleneck, UpsamplingBottleneck


class TestENet(ModelConformance):
    model = "enet"
    learn_rate = 1e-2


def conv(inputs: int, outputs: int, taps: int, bias: bool = False) -> int:
    return inputs * outputs * taps + bias * outputs


def encoder_bottleneck(inputs: int, outputs: int, asymmetric: bool = False, down: bool = False) -> int:
    """With batch norm (two per channel) and PReLU (one per channel)."""
    inner = outputs // 4
    middle = conv(inner, inner, 5) + conv(inner, inner, 5, True) if asymmetric else conv(inner, inner, 9, True)
    total = conv(inputs, inner, 4 if down else 1) + 3 * inner + middle + 3 * inner
    return total + conv(inner, outputs, 1) + 2 * outputs + outputs


def decoder_bottleneck(inputs: int, outputs: int, up: bool) -> int:
    inner = outputs // 4
    total = conv(inputs, inner, 1) + 2 * inner + conv(inner, inner, 9, True) + 2 * inner
    return total + conv(inner, outputs, 1) + 2 * outputs + up * (conv(inputs, outputs, 1) + 2 * outputs)


@pytest.mark.parametrize(("classes", "official"), [(20, 364_376), (12, 363_856)])
def test_the_authors_network_has_its_size(classes: int, official: int) -> None:
    encoder = conv(3, 13, 9, True) + 3 * 16 + encoder_bottleneck(16, 64, down=True) + 4 * encoder_bottleneck(64, 64)
    encoder += encoder_bottleneck(64, 128, down=True)
    encoder += 2 * (6 * encoder_bottleneck(128, 128) + 2 * encoder_bottleneck(128, 128, asymmetric=True))
    decoder = decoder_bottleneck(128, 64, True) + 2 * decoder_bottleneck(64, 64, False)
    decoder += decoder_bottleneck(64, 16, True) + decoder_bottleneck(16, 16, False) + conv(16, classes, 4, True)
    assert encoder == 338_156
    assert encoder + decoder == official
    with torch.device("meta"):
        network = create_model("enet", 3, classes)
    assert sum(p.numel() for p in network.parameters()) == official


def test_stages_two_and_three_have_the_paper_s_kernels() -> None:
    """Table 1: plain, dilated 2, asymmetric 5, dilated 4, plain, dilated 8, asymmetric 5, dilated 16."""
    network = create_model("enet", 1, 2)
    for stage in (network.stage2, network.stage3):
        kernels = [(block.branch[3].kernel_size, block.branch[3].dilation[0]) for block in stage]
        square, thin = (3, 3), (1, 5)
        expected = [(square, 1), (square, 2), (thin, 1), (square, 4), (square, 1), (square, 8), (thin, 1), (square, 16)]
        assert kernels == expected


def plain_norm(layer: Any, x: Tensor) -> Tensor:
    scale = layer.weight / (layer.running_var + layer.eps) ** 0.5
    return (x - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]


def prelu(layer: Any, x: Tensor) -> Tensor:
    return x.clamp_min(0) + layer.weight.view(1, -1, 1, 1) * x.clamp_max(0)


def test_the_bottleneck_is_its_formula() -> None:
    block = Bottleneck(8, 0.1, "dilated", 2)

    def reference(x: Tensor) -> Tensor:
        reduce, norm1, act1, middle, norm2, act2, expand, norm3, _ = block.branch
        hidden = prelu(act1, plain_norm(norm1, torch.einsum("bchw,oc->bohw", x, reduce.weight[..., 0, 0])))
        hidden = F.conv2d(hidden, middle.weight, middle.bias, padding=2, dilation=2)
        hidden = prelu(act2, plain_norm(norm2, hidden))
        found = plain_norm(norm3, torch.einsum("bchw,oc->bohw", hidden, expand.weight[..., 0, 0]))
        return prelu(block.activate, found + x)

    assert_agrees(block, reference, torch.randn(2, 8, 6, 5))


def test_the_asymmetric_bottleneck_goes_along_the_rows_first() -> None:
    """The Torch7 release's order: a kernel 5 wide and 1 high without bias, then one 1 wide and 5 high with bias."""
    block = Bottleneck(8, 0.1, "asymmetric", 5)

    def reference(x: Tensor) -> Tensor:
        reduce, norm1, act1, wide, high, norm2, act2, expand, norm3, _ = block.branch
        hidden = prelu(act1, plain_norm(norm1, torch.einsum("bchw,oc->bohw", x, reduce.weight[..., 0, 0])))
        rows = F.pad(hidden, (2, 2)).unfold(3, 5, 1)
        hidden = torch.einsum("bchwk,ock->bohw", rows, wide.weight[:, :, 0])
        columns = F.pad(hidden, (0, 0, 2, 2)).unfold(2, 5, 1)
        hidden = torch.einsum("bchwk,ock->bohw", columns, high.weight[..., 0]) + high.bias[:, None, None]
        hidden = prelu(act2, plain_norm(norm2, hidden))
        found = plain_norm(norm3, torch.einsum("bchw,oc->bohw", hidden, expand.weight[..., 0, 0]))
        return prelu(block.activate, found + x)

    assert_agrees(block, reference, torch.randn(2, 8, 6, 5))


def test_the_upsampling_bottleneck_puts_values_back() -> None:
    block = UpsamplingBottleneck(8, 4)
    places = torch.tensor([[0, 3], [12, 9]]).expand(2, 4, 2, 2).contiguous()

    class At(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = block

        def forward(self, x: Tensor) -> Tensor:
            return self.block(x, places, (4, 4))

    def reference(x: Tensor) -> Tensor:
        conv1, norm = block.shortcut
        values = plain_norm(norm, torch.einsum("bchw,oc->bohw", x, conv1.weight[..., 0, 0]))
        rows = [torch.zeros(2, 4, dtype=x.dtype) for _ in range(16)]
        for (i, j), place in {(0, 0): 0, (0, 1): 3, (1, 0): 12, (1, 1): 9}.items():
            rows[place] = values[:, :, i, j]
        return (block.branch(x) + torch.stack(rows, 2).unflatten(2, (4, 4))).clamp_min(0)

    assert_agrees(At(), reference, torch.randn(2, 8, 2, 2))


def branch_of(block: Any, x: Tensor, pads: tuple[int, ...] = (1,), stride: int = 1) -> Tensor:
    """1x1 (2x2 with a stride), norm, activation, one or two convolutions, norm, activation, 1x1, norm."""

    def activate(layer: Any, x: Tensor) -> Tensor:
        return prelu(layer, x) if isinstance(layer, nn.PReLU) else x.clamp_min(0)

    reduce, norm1, act1, *middle, norm2, act2, expand, norm3, _ = block.branch
    x = activate(act1, plain_norm(norm1, F.conv2d(x, reduce.weight, stride=stride)))
    for conv in middle:
        if isinstance(conv, nn.ConvTranspose2d):  # zeros between the pixels, the kernel turned round
            spread = torch.zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3], dtype=x.dtype)
            spread[..., ::2, ::2] = x
            x = F.conv2d(F.pad(spread, (1, 1, 1, 1)), conv.weight.transpose(0, 1).flip(2, 3), conv.bias)
        else:
            rows, columns = conv.kernel_size
            padding = (pads[0] * (rows // 2), pads[0] * (columns // 2))
            x = F.conv2d(x, conv.weight, conv.bias, padding=padding, dilation=pads[0])
    x = activate(act2, plain_norm(norm2, x))
    return plain_norm(norm3, F.conv2d(x, expand.weight))


@pytest.mark.parametrize("size", [(32, 48), (33, 43)])
def test_the_network_is_the_authors_file(size: tuple[int, int]) -> None:
    """e-lab/ENet-training f762144, `train/models/encoder.lua` and `decoder.lua`, in Torch7, which does not run here.

    Odd sizes, which it refuses, are filled up before each halving: with zeros for the convolutions, with nothing for
    the maxima.
    """
    network = create_model("enet", 2, 3)

    def odd(x: Tensor, value: float) -> Tensor:
        return F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), value=value)

    def windows(x: Tensor) -> Tensor:
        x = odd(x, -torch.inf)
        return torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], -1)

    def down(block: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maxima beside channels of zeros; which of four pixels each maximum was."""
        pairs = windows(x)
        chosen = pairs == pairs.amax(-1, keepdim=True)
        found = branch_of(block, odd(x, 0.0), stride=2)
        extra = found.shape[1] - x.shape[1]
        return prelu(block.activate, found + F.pad(pairs.amax(-1), (0, 0, 0, 0, 0, extra))), chosen

    def up(block: Any, x: Tensor, chosen: Tensor, like: Tensor) -> Tensor:
        conv, norm = block.shortcut
        values = plain_norm(norm, F.conv2d(x, conv.weight))[..., None] * chosen
        found = branch_of(block, x)
        places = (
            torch.stack([values[..., 0:2], values[..., 2:4]], -2).permute(0, 1, 2, 4, 3, 5).flatten(4).flatten(2, 3)
        )
        return (found + places)[..., : like.shape[2], : like.shape[3]].clamp_min(0)

    def reference(x: Tensor) -> Tensor:
        conv, (norm, act) = network.initial.conv, network.initial.activate
        first = torch.cat([F.conv2d(x, conv.weight, conv.bias, 2, 1), windows(x).amax(-1)], 1)
        first = prelu(act, plain_norm(norm, first))
        second, places1 = down(network.down1, first)
        for block in network.stage1:
            second = prelu(block.activate, branch_of(block, second) + second)
        third, places2 = down(network.down2, second)
        for block, rate in zip([*network.stage2, *network.stage3], 2 * (1, 2, 1, 4, 1, 8, 1, 16), strict=True):
            third = prelu(block.activate, branch_of(block, third, (rate,)) + third)
        y = up(network.up4, third, places2, second)
        for block in network.stage4:
            y = (branch_of(block, y) + y).clamp_min(0)
        y = up(network.up5, y, places1, first)
        y = (branch_of(network.stage5, y) + y).clamp_min(0)
        batch, _, height, width = y.shape
        y = torch.einsum("bchw,coij->bohiwj", y, network.classify.weight).reshape(batch, -1, 2 * height, 2 * width)
        return (y + network.classify.bias[:, None, None])[..., : size[0], : size[1]]

    assert_agrees(network, reference, torch.randn(2, 2, *size))


def test_nonsense_is_refused_with_a_sentence() -> None:
    with pytest.raises(UsageError, match="dropout: input should be less than 1"):
        create_model("enet", 1, 2, dropout=1)
    with pytest.raises((UsageError, RunError), match="at most 15 input channels, got 16"):
        create_model("enet", 16, 2)
