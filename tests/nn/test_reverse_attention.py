from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.nn.reverse_attention import (
    PartialDecoder,
    ReceptiveFieldBlock,
    background_probability,
    reverse_stage,
)
from spine_ignite.testing import assert_agrees


def plain(block: Any, x: Tensor, relu: bool = False) -> Tensor:
    """Convolution, batch norm written out, ReLU on request."""
    conv, norm = block[0], block[1]
    x = F.conv2d(x, conv.weight, conv.bias, padding=conv.padding, dilation=conv.dilation)
    scale = norm.weight / (norm.running_var + norm.eps) ** 0.5
    x = (x - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]
    return x.clamp_min(0) if relu else x


def test_two_classes_give_the_binary_network_s_weight() -> None:
    """With logits (0, S) the weight is the papers' 1 - sigmoid(S) (Fan et al. 2020, PraNet, section 2.2)."""
    score = torch.randn(2, 1, 5, 4, dtype=torch.float64)
    weight = background_probability(torch.cat([torch.zeros_like(score), score], 1))
    torch.testing.assert_close(weight, 1 - 1 / (1 + (-score).exp()))


@pytest.mark.parametrize("edge", [True, False])
def test_foreground_reverse_attention_is_its_formula(edge: bool) -> None:
    stage = reverse_stage(5, 6, 3, 2, 1, 3, "foreground", edge=2 if edge else 0)

    def reference(x: Tensor, guidance: Tensor, edges: Tensor | None = None) -> Tensor:
        up = F.interpolate(guidance, scale_factor=2.0, mode="bilinear", align_corners=False)
        shares = up.exp() / up.exp().sum(1, keepdim=True)
        foreground = shares[:, 1:].sum(1, keepdim=True)
        hidden = plain(stage.reduce, x * (1 - foreground))
        hidden = hidden if edges is None else torch.cat([hidden, edges], 1)
        for conv in stage.refine:
            hidden = plain(conv, hidden, relu=True)
        return plain(stage.last, hidden) + up

    inputs = [torch.randn(2, 5, 6, 4), torch.randn(2, 3, 3, 2), torch.randn(2, 2, 6, 4)]
    assert_agrees(stage, reference, *inputs[: 3 if edge else 2])


def test_classwise_reverse_attention_is_the_binary_network_once_per_class() -> None:
    stage = reverse_stage(5, 6, 3, 2, 3, 3, "classwise")

    def reference(x: Tensor, guidance: Tensor) -> Tensor:
        maps = []
        for number in range(3):
            score = guidance[:, number : number + 1]
            hidden = plain(stage.reduce, x * (1 - 1 / (1 + (-score).exp())))
            for conv in stage.refine:
                hidden = plain(conv, hidden, relu=True)
            maps.append(plain(stage.last, hidden) + score)
        return torch.cat(maps, 1)

    assert_agrees(stage, reference, torch.randn(2, 5, 6, 4), torch.randn(2, 3, 6, 4))


def test_the_partial_decoder_multiplies_and_concatenates() -> None:
    """PraNet, section 2.1 (the release's aggregation), on maps that double exactly."""
    decoder = PartialDecoder(2, 3)

    def up(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)

    def reference(fine: Tensor, middle: Tensor, coarse: Tensor) -> Tensor:
        gated_middle = plain(decoder.multiply[0], up(coarse)) * middle
        gated_fine = plain(decoder.multiply[1], up(up(coarse))) * plain(decoder.multiply[2], up(middle)) * fine
        joined = plain(decoder.middle, torch.cat([gated_middle, plain(decoder.join[0], up(coarse))], 1))
        wide = torch.cat([gated_fine, plain(decoder.join[1], up(joined))], 1)
        for conv in decoder.last[:2]:
            wide = plain(conv, wide)
        head = decoder.last[2]
        return torch.einsum("bchw,oc->bohw", wide, head.weight[..., 0, 0]) + head.bias.view(1, -1, 1, 1)

    assert_agrees(decoder, reference, torch.randn(2, 2, 12, 8), torch.randn(2, 2, 6, 4), torch.randn(2, 2, 3, 2))


def test_the_receptive_field_block_is_its_branches() -> None:
    block = ReceptiveFieldBlock(3, 2)

    def reference(x: Tensor) -> Tensor:
        parts = [plain(block.branches[0], x)]
        for branch in list(block.branches)[1:]:
            found = x
            for conv in branch:
                found = plain(conv, found)
            parts.append(found)
        return (plain(block.join, torch.cat(parts, 1)) + plain(block.shortcut, x)).clamp_min(0)

    assert_agrees(block, reference, torch.randn(2, 3, 9, 8))
    kernels = [[conv[0].kernel_size for conv in branch] for branch in list(block.branches)[1:]]
    assert kernels == [[(1, 1), (1, n), (n, 1), (3, 3)] for n in (3, 5, 7)]
    assert [branch[3][0].dilation[0] for branch in list(block.branches)[1:]] == [3, 5, 7]
