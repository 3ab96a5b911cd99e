"""The structure loss against its formula, written out pixel by pixel in float64."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spine_ignite.config import LossConfig
from spine_ignite.errors import UsageError
from spine_ignite.losses.criterion import create_loss
from spine_ignite.losses.structure import StructureLoss, one_against_rest


def published(score: Tensor, mask: Tensor, weighted_bce: bool = True) -> Tensor:
    """The loss of scores ``(B, H, W)`` whose sigmoid is the probability of one structure, for a mask in 0 and 1."""
    rows, columns = mask.shape[1:]
    weight = torch.ones_like(score)
    for i in range(rows):
        for j in range(columns):
            # 31 x 31 pixels of which those beyond the border are zero.
            window = mask[:, max(i - 15, 0) : i + 16, max(j - 15, 0) : j + 16]
            weight[:, i, j] = 1 + 5 * (window.sum((1, 2)) / 961 - mask[:, i, j]).abs()
    bce = F.softplus(score) - score * mask
    entropy = (weight * bce).sum((1, 2)) / weight.sum((1, 2)) if weighted_bce else bce.mean()
    p = torch.sigmoid(score)
    overlap, total = (p * mask * weight).sum((1, 2)), ((p + mask) * weight).sum((1, 2))
    return (entropy + 1 - (overlap + 1) / (total - overlap + 1)).mean()


def example(seed: int, classes: int, rows: int, columns: int, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(2, classes, rows, columns, generator=generator, dtype=torch.float64)
    coarse = torch.randint(0, classes, (2, 1, 3, 3), generator=generator).double()
    return logits, F.interpolate(coarse, (rows, columns))[:, 0].long()


@settings(max_examples=10)
@given(seed=st.integers(0, 999), rows=st.integers(3, 40), columns=st.integers(3, 40), weighted=st.booleans())
def test_two_classes_have_the_published_loss(seed: int, rows: int, columns: int, weighted: bool) -> None:
    """Value and gradient; the difference of two logits is the score whose sigmoid is the softmax."""
    logits, label = example(seed, 2, rows, columns)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    value = StructureLoss(2, weighted_bce=weighted)(ours, label.to(torch.uint8))
    truth = published(theirs[:, 1] - theirs[:, 0], label.double(), weighted)
    value.backward()
    truth.backward()
    torch.testing.assert_close(value, truth, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-14)


def test_several_classes_have_the_mean_of_each_against_the_rest() -> None:
    logits, label = example(1, 5, 20, 24)
    label[label == 4] = 0  # one that is absent
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    terms = []
    for k in range(1, 5):
        rest = torch.stack([theirs[:, j] for j in range(5) if j != k]).logsumexp(0)
        terms.append(published(theirs[:, k] - rest, (label == k).double()))
    value, truth = StructureLoss(5)(ours, label), torch.stack(terms).mean()
    value.backward()
    truth.backward()
    torch.testing.assert_close(value, truth, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-14)


def test_certain_logits_keep_their_gradient_in_float32() -> None:
    logits = torch.zeros(1, 3, 40, 40)
    logits[:, 1] = 60.0  # its probability rounds to 1
    label = torch.zeros(1, 40, 40, dtype=torch.uint8)
    logits.requires_grad_()
    value = StructureLoss(3)(logits, label)
    value.backward()
    assert float(value.detach()) == pytest.approx((60 - math.log(2) + 1) / 2, abs=0.01)
    assert logits.grad is not None
    assert float(logits.grad[:, 1].sum()) == pytest.approx(0.5, rel=1e-3)
    log_p, log_rest = one_against_rest(logits.detach())
    torch.testing.assert_close(log_rest[:, 1], log_p[:, 0] + math.log(2))


@pytest.mark.parametrize("options", [{"window": 30}, {"window": 3.5}, {"emphasis": -1}, {"span": 3}])
def test_options_that_cannot_be_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"window must be an odd|emphasis must be 0|there is no option 'span'"):
        create_loss(LossConfig(name="structure", options=options), 3)
