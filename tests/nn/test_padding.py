from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spine_ignite.nn.padding import PaddedNetwork
from spine_ignite.spec import Aux, ModelOutput


class Strict(nn.Module):
    """Takes multiples of 8 only; returns its input, and half of it as auxiliary logits."""

    def forward(self, x: Tensor) -> Tensor | ModelOutput:
        assert x.shape[-2] % 8 == 0
        assert x.shape[-1] % 8 == 0
        return ModelOutput(x, {"half": Aux(x[..., ::2, ::2], 0.5)}) if self.training else x


def test_any_size_comes_back_as_it_was() -> None:
    network = PaddedNetwork(Strict(), 8).eval()
    for size in ((64, 64), (65, 71), (67, 64)):
        x = torch.randn(2, 3, *size)
        assert torch.equal(network(x), x)


@pytest.mark.parametrize("align_corners", [False, True])
def test_auxiliary_logits_stay_where_they_were_on_the_padded_map(align_corners: bool) -> None:
    """A cell of the coarse map is compared with the pixels that it was computed from, whatever was padded."""
    x = torch.randn(2, 3, 65, 71, dtype=torch.float64)
    output = PaddedNetwork(Strict(), 8, align_corners).train()(x)
    assert torch.equal(output.logits, x)
    rows, columns = (torch.arange(72).clamp_max(length - 1) for length in (65, 71))
    coarse = x[:, :, rows][..., columns][..., ::2, ::2]
    places = torch.arange(72, dtype=torch.float64)
    places = places * 35 / 71 if align_corners else ((places + 0.5) / 2 - 0.5).clamp(0, 35)
    weights = (1 - (places[:, None] - torch.arange(36)).abs()).clamp_min(0)
    expected = torch.einsum("bchw,ih,jw->bcij", coarse, weights[:65], weights[:71])
    torch.testing.assert_close(output.aux["half"].logits, expected)


def test_auxiliary_logits_of_a_size_that_fits_stay_coarse() -> None:
    x = torch.randn(2, 3, 64, 72)
    assert torch.equal(PaddedNetwork(Strict(), 8).train()(x).aux["half"].logits, x[..., ::2, ::2])
