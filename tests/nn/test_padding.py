from __future__ import annotations

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


def test_auxiliary_logits_cover_the_input_only() -> None:
    x = torch.randn(2, 3, 65, 71)
    output = PaddedNetwork(Strict(), 8).train()(x)
    assert torch.equal(output.logits, x)
    assert torch.equal(output.aux["half"].logits, x[..., ::2, ::2])
