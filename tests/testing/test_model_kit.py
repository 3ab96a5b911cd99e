"""The conformance kit must fail for what it is there to find."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from spine_ignite.testing import ModelConformance


class Good(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Softmaxed(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(1)


class Smaller(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., ::2, ::2]


class Unused(Good):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.idle = nn.Conv2d(1, 1, 1)


class Random(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.rand(1)


class Counting(Good):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


class FixedType(Good):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float()


class NoBatchOfOne(Good):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(classes))

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x + self.pooled(x)


def kit(network: type[Good]) -> ModelConformance:
    class Kit(ModelConformance):
        model = "bad"

        def build(self, in_channels: int = 1, num_classes: int = 4) -> nn.Module:
            return network(in_channels, num_classes)

    return Kit()


CHECKS: list[tuple[type[Good], Callable[[ModelConformance], None], str]] = [
    (Softmaxed, ModelConformance.test_output_is_logits, "applies a softmax"),
    (Smaller, ModelConformance.test_logits_have_the_input_size, "have shape"),
    (Unused, ModelConformance.test_every_parameter_gets_a_finite_gradient, "idle.weight is never used"),
    (Random, ModelConformance.test_eval_is_deterministic_and_keeps_no_state, "two passes in eval mode differ"),
    (Counting, ModelConformance.test_eval_is_deterministic_and_keeps_no_state, "eval mode changed calls"),
    (FixedType, ModelConformance.test_float64_agrees_with_float32, "returns torch.float32"),
    (NoBatchOfOne, ModelConformance.test_trains_on_a_batch_of_one, "Expected more than 1 value per channel"),
    (Good, ModelConformance.test_learns_four_slices, "mean Dice"),
]


@pytest.mark.parametrize(("network", "check", "message"), CHECKS, ids=[f"{c[0].__name__}" for c in CHECKS])
def test_the_kit_finds_the_fault(network: type[Good], check: Callable[[ModelConformance], None], message: str) -> None:
    with pytest.raises((AssertionError, ValueError), match=message):
        check(kit(network))
