from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.testing import ModelConformance, assert_agrees
from spine_ignite_espnet.model import ESPBlock


class TestESPNet(ModelConformance):
    model = "espnet"
    learn_rate = 1e-2
    options: ClassVar[dict[str, Any]] = {"q": 3}


class TestEncoderOnly(ModelConformance):
    model = "espnet"
    learn_rate = 1e-2
    options: ClassVar[dict[str, Any]] = {"q": 3, "encoder_only": True}


def block(inputs: int, outputs: int, kernel: int = 1) -> int:
    inner = outputs // 5
    first = outputs - 4 * inner
    return inputs * inner * kernel**2 + 9 * inner * first + 4 * 9 * inner**2 + 3 * outputs


@pytest.mark.parametrize(("in_channels", "q", "millions"), [(3, 8, 0.365), (3, 3, 0.203), (1, 8, 0.364), (1, 3, 0.202)])
def test_the_authors_networks_have_their_sizes(in_channels: int, q: int, millions: float) -> None:
    """20 classes, p = 2. Every batch norm with PReLU has three parameters per channel."""
    half, quarter, classes = 16 + in_channels, 128 + in_channels, 20
    encoder = 9 * in_channels * 16 + 3 * 16 + 3 * half + block(half, 64, 3) + 2 * block(64, 64) + 3 * quarter
    encoder += block(quarter, 128, 3) + q * block(128, 128) + 3 * 256 + 256 * classes
    decoder = 2 * classes + 4 * classes**2 + quarter * classes + 6 * classes + block(2 * classes, classes)
    decoder += 4 * classes**2 + 3 * classes + 9 * (half + classes) * classes + 3 * classes + 4 * classes**2
    with torch.device("meta"):
        network = create_model("espnet", in_channels, classes, q=q)
    assert sum(p.numel() for p in network.parameters()) == encoder + decoder
    assert (encoder + decoder) / 1e6 == pytest.approx(millions, abs=6e-4)


@pytest.mark.parametrize("residual", [True, False])
def test_the_block_is_its_formula(residual: bool) -> None:
    """Hierarchical feature fusion: each dilated branch from the second on is added to the sum before it."""
    part = ESPBlock(12, 12, residual=residual)

    def dilated(x: Tensor, weight: Tensor, rate: int) -> Tensor:
        height, width = x.shape[2:]
        padded = torch.nn.functional.pad(x, (rate,) * 4)
        out = torch.zeros((), dtype=x.dtype)
        for i in range(3):
            for j in range(3):
                window = padded[:, :, i * rate : i * rate + height, j * rate : j * rate + width]
                out = out + torch.einsum("bchw,oc->bohw", window, weight[:, :, i, j])
        return out

    def reference(x: Tensor) -> Tensor:
        reduced = torch.einsum("bchw,oc->bohw", x, part.reduce.weight[..., 0, 0])
        first = dilated(reduced, part.first.weight, 1)
        two, four, eight, sixteen = (
            dilated(reduced, conv.weight, rate) for conv, rate in zip(part.dilated, (2, 4, 8, 16), strict=True)
        )
        sums = [two, two + four, two + four + eight, two + four + eight + sixteen]
        fused = torch.cat([first, *sums], 1) + (x if residual else 0)
        norm, act = part.activate
        scale = norm.weight / (norm.running_var + norm.eps) ** 0.5
        found = (fused - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]
        return found.clamp_min(0) + act.weight.view(1, -1, 1, 1) * found.clamp_max(0)

    assert_agrees(part, reference, torch.randn(2, 12, 6, 7))


def test_few_classes_are_decoded_with_five_channels() -> None:
    """The authors' code cannot be built for fewer than five classes."""
    network = create_model("espnet", 1, 2).network
    assert network.encoder.classify.out_channels == 5
    assert network.decoder.up2.out_channels == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 0}, "p: input should be greater than or equal to 1"),
        ({"encoder": True}, "Did you mean 'encoder_only'?"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("espnet", 1, 2, **options)
    assert message in str(caught.value)
