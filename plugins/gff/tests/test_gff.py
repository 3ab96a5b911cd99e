from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.testing import ModelConformance, randomise
from spine_ignite_gff.model import GatedFusion


class TestGFF(ModelConformance):
    model = "gff"
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet18", "channels": 32}


def conv(inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> int:
    """Parameters of a convolution."""
    return inputs * outputs * kernel * kernel + bias * outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("gff", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


def test_the_network_has_the_size_of_its_layers() -> None:
    """The layers of Li et al. 2020, section 3; no code of this network was published that could be counted."""
    levels = (256, 512, 1024, 2048)
    head = sum(conv(level, 256) + norm(256) for level in levels) + 4 * conv(256, 1, bias=True)
    head += 4 * (conv(2048, 512) + norm(512)) + conv(4096, 256, 3) + norm(256)
    head += sum(conv(n * 256, 256, 3) + norm(256) for n in (2, 3, 4, 5)) + conv(5 * 256, 19, bias=True)
    aux = conv(1024, 256, 3) + norm(256) + conv(256, 19, bias=True)
    assert head / 1e6 == pytest.approx(22.9, abs=0.05)
    assert count(3, 19) == 42_623_936 + head + aux


def test_gated_fusion_updates_all_levels_at_once() -> None:
    """Equation 6 of the paper, level by level, from the levels as they came."""
    block = randomise(GatedFusion(3, 3)).double()
    levels = [torch.randn(2, 3, n, n + 1, dtype=torch.float64, requires_grad=True) for n in (8, 4, 4)]
    found = block(levels)

    def gate(number: int) -> Tensor:
        weight, bias = block.gates[number].weight, block.gates[number].bias
        return 1 / (1 + (-(levels[number] * weight.view(1, 3, 1, 1)).sum(1, keepdim=True) - bias).exp())

    expected = []
    for number, level in enumerate(levels):
        total = torch.zeros((), dtype=torch.float64)
        for i, other in enumerate(levels):
            if i != number:
                total = total + F.interpolate(gate(i) * other, level.shape[2:], mode="bilinear", align_corners=True)
        expected.append((1 + gate(number)) * level + (1 - gate(number)) * total)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
    weights = [torch.randn_like(x) for x in found]
    inputs = [*levels, *block.parameters()]
    gradients = [
        torch.autograd.grad(sum((o * w).sum() for o, w in zip(out, weights, strict=True)), inputs)
        for out in (found, expected)
    ]
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 1}, "channels: input should be greater than or equal to 8"),
        ({"dropout": -1}, "dropout: input should be greater than or equal to 0"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("gff", 1, 2, **options)
    assert message in str(caught.value)


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """The paper leaves it open; the head is PSPNet's (hszhao/semseg 4f274c3), resized with `align_corners=True`."""
    assert load_registry().find("gff").value.aux_align_corners is True
