from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.nn.encoders import build_encoder
from spine_ignite.nn.heads import ASPP, EncoderHeadNetwork, FCNHead, PyramidPooling
from spine_ignite.spec import ModelOutput
from spine_ignite.testing import assert_agrees


def plain_block(block: Any, x: Tensor) -> Tensor:
    """A ConvNormAct written out: shifted sums for the convolution, the formula of batch norm, the positive part."""
    conv, norm = block[0], block[1]
    rate, weight = conv.dilation[0], conv.weight
    reach = rate * (weight.shape[2] // 2)
    padded = F.pad(x, (reach,) * 4)
    out = torch.zeros(())
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            window = padded[:, :, i * rate : i * rate + x.shape[2], j * rate : j * rate + x.shape[3]]
            out = out + torch.einsum("bchw,oc->bohw", window, weight[:, :, i, j])
    mean, scale = norm.running_mean, norm.weight / (norm.running_var + norm.eps) ** 0.5
    out = (out - mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]
    return out.clamp_min(0)


def test_aspp_is_its_formula() -> None:
    """Chen et al. 2017, section 3.3."""
    aspp = ASPP(3, 4, (1, 2, 4))

    def reference(x: Tensor) -> Tensor:
        branches = [plain_block(branch, x) for branch in aspp.branches]
        mean = plain_block(aspp.image[1], x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return plain_block(aspp.project[0], torch.cat([*branches, mean], 1))

    assert_agrees(aspp, reference, torch.randn(2, 3, 7, 6))


def test_pyramid_pooling_is_its_formula() -> None:
    """Zhao et al. 2017, section 3.2: means of the cells, and interpolation with aligned corners."""
    pyramid = PyramidPooling(3, 2, (1, 2, 3))

    def interpolate(cells: Tensor, length: int, dim: int) -> Tensor:
        count = cells.shape[dim]
        place = torch.arange(length, dtype=torch.float64) * (count - 1) / (length - 1)
        below = place.floor().clamp_max(max(count - 2, 0)).long()
        share = (place - below).view(-1, *[1] * (3 - dim))
        low, high = cells.index_select(dim, below), cells.index_select(dim, (below + 1).clamp_max(count - 1))
        return low * (1 - share) + high * share

    def reference(x: Tensor) -> Tensor:
        parts = [x]
        for branch, bins in zip(pyramid.branches, (1, 2, 3), strict=True):
            rows, columns = x.shape[2] // bins, x.shape[3] // bins
            cells = x.unflatten(3, (bins, columns)).unflatten(2, (bins, rows)).mean((3, 5))
            pooled = plain_block(branch[1], cells)
            parts.append(interpolate(interpolate(pooled, x.shape[2], 2), x.shape[3], 3))
        return torch.cat(parts, 1)

    assert_agrees(pyramid, reference, torch.randn(2, 3, 6, 12))


def test_the_auxiliary_head_is_for_training_alone() -> None:
    encoder = build_encoder("resnet18", 1, output_stride=8)
    head = FCNHead(512, 8, 3)

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = head

        def forward(self, features: list[Tensor]) -> Tensor:
            return self.head(features[-1])

    network = EncoderHeadNetwork(encoder, Last(), FCNHead(256, 8, 3), aux_weight=0.4)
    x = torch.randn(2, 1, 64, 64)
    output = network.train()(x)
    assert isinstance(output, ModelOutput)
    assert {name: (tuple(a.logits.shape), a.weight) for name, a in output.aux.items()} == {"aux": ((2, 3, 8, 8), 0.4)}
    assert network.eval()(x).shape == (2, 3, 64, 64)
