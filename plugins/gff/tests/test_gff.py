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
from spine_ignite_gff.model import GatedFusion, GFFHead


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


def test_the_head_is_the_paper_s_formula() -> None:
    """Li et al. 2020, section 3: each level reduced, all fused, and refined from coarse to fine behind the context.

    The context is PSPNet's: means over grids of 1, 2, 3 and 6 cells, beside the coarsest level, through a 3x3.
    """
    head = GFFHead((3, 4, 8), 2, 5, 0.1)

    def block(module: Any, x: Tensor) -> Tensor:
        conv, norm, _ = module
        x = F.conv2d(x, conv.weight, padding=conv.weight.shape[-1] // 2)
        scale = norm.weight / (norm.running_var + norm.eps) ** 0.5
        return ((x - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]).clamp_min(0)

    def weights(coarse: int, fine: int) -> Tensor:
        """Of linear interpolation from the first pixel's centre to the last one's, (fine, coarse)."""
        place = torch.linspace(0, coarse - 1, fine, dtype=torch.float64)
        return (1 - (place[:, None] - torch.arange(coarse)).abs()).clamp_min(0)

    def sized(x: Tensor, like: Tensor) -> Tensor:
        return torch.einsum(
            "bchw,ih,jw->bcij", x, weights(x.shape[2], like.shape[2]), weights(x.shape[3], like.shape[3])
        )

    def reference(*levels: Tensor) -> Tensor:
        reduced = [block(module, level) for module, level in zip(head.reduce, levels, strict=True)]
        gates = [
            1 / (1 + (-torch.einsum("bchw,oc->bohw", x, gate.weight[..., 0, 0]) - gate.bias[:, None, None]).exp())
            for gate, x in zip(head.fuse.gates, reduced, strict=True)
        ]
        fused = []
        for level, (gate, x) in enumerate(zip(gates, reduced, strict=True)):
            others = [sized(gates[i] * reduced[i], x) for i in range(3) if i != level]
            fused.append((1 + gate) * x + (1 - gate) * sum(others))
        coarse = levels[-1]
        means = [coarse]
        for cells, branch in zip((1, 2, 3, 6), head.context[0].branches, strict=True):
            strips = [strip.chunk(cells, 3) for strip in coarse.chunk(cells, 2)]
            rows = [torch.stack([cell.mean((2, 3)) for cell in strip], 2) for strip in strips]
            means.append(sized(block(branch[1], torch.stack(rows, 2)), coarse))
        seen = [block(head.context[1], torch.cat(means, 1))]
        for module, level in zip(head.refine, reversed(fused), strict=True):
            seen.append(block(module, torch.cat([*(sized(x, level) for x in seen), level], 1)))
        joined = torch.cat([sized(x, fused[0]) for x in seen], 1)
        classify = head.classify[1]
        return torch.einsum("bchw,oc->bohw", joined, classify.weight[..., 0, 0]) + classify.bias[:, None, None]

    class OnTensors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = head

        def forward(self, *features: Tensor) -> Tensor:
            return self.head(list(features))

    sizes = ((3, 24, 30), (4, 12, 12), (8, 12, 12))
    assert_agrees(OnTensors(), reference, *(torch.randn(2, *size) for size in sizes))


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
