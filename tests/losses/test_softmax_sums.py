from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.config import LossConfig
from spine_ignite.losses.criterion import create_loss
from spine_ignite.losses.softmax_sums import softmax_sums

# Few classes and many take different ways where they lie side by side.
LAYOUTS = [(torch.contiguous_format, 4), (torch.channels_last, 4), (torch.channels_last, 17)]


def example(memory_format: torch.memory_format, classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(2, classes, 3, 5, generator=generator, dtype=torch.float64)
    label = torch.randint(0, classes, (2, 3, 5), generator=generator)
    return logits.contiguous(memory_format=memory_format).requires_grad_(), label


@pytest.mark.parametrize(("memory_format", "classes"), LAYOUTS)
def test_the_sums_are_those_of_a_one_hot_reference(memory_format: torch.memory_format, classes: int) -> None:
    logits, label = example(memory_format, classes)
    reference = F.one_hot(label, classes).movedim(-1, 1)
    overlap, predicted, log_likelihood = softmax_sums(logits, label)
    torch.testing.assert_close(overlap, (logits.softmax(1) * reference).sum((2, 3)))
    torch.testing.assert_close(predicted, logits.softmax(1).sum((2, 3)))
    torch.testing.assert_close(log_likelihood, -F.cross_entropy(logits, label))


@pytest.mark.parametrize(("memory_format", "classes"), LAYOUTS)
def test_the_gradient_is_the_difference_quotient(memory_format: torch.memory_format, classes: int) -> None:
    logits, label = example(memory_format, classes)
    assert torch.autograd.gradcheck(lambda x: softmax_sums(x, label), logits)


def test_a_certain_and_wrong_network_has_a_finite_loss() -> None:
    """The probability of the reference's class underflows to 0, its logarithm must not become infinite."""
    logits = torch.zeros(1, 3, 2, 2)
    logits[:, 1] = 500.0
    logits.requires_grad_()
    label = torch.zeros(1, 2, 2, dtype=torch.long)
    log_likelihood = softmax_sums(logits, label)[2]
    assert log_likelihood.item() == -500.0
    log_likelihood.backward()
    torch.testing.assert_close(logits.grad, (F.one_hot(label, 3) - logits.softmax(1).movedim(1, -1)).movedim(-1, 1) / 4)


def test_label_smoothing_is_torch_s() -> None:
    logits, label = example(torch.channels_last, 4)
    options = {"label_smoothing": 0.2, "dice_weight": 0.0}
    value = create_loss(LossConfig(options=options), 4)(logits.float(), label.byte()).total
    assert float(value) == pytest.approx(float(F.cross_entropy(logits, label, label_smoothing=0.2)), abs=1e-6)
