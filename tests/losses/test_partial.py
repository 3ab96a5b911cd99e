"""Labels that are known in part, against marginals by enumeration and plain loops in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spine_ignite.config import LossConfig
from spine_ignite.errors import UsageError
from spine_ignite.labels import IGNORE
from spine_ignite.losses.criterion import Criterion, create_loss, edge_loss
from spine_ignite.losses.cross_entropy import cross_entropy
from spine_ignite.losses.dice import dice, dice_ce
from spine_ignite.losses.structure import StructureLoss
from spine_ignite.registry import load_registry
from spine_ignite.spec import Aux, ModelOutput

Install = Callable[..., Path]
CLASSES = 5
OF_SHAPES = {"hausdorff_dt"}
NAMES = sorted({item.value.name for item in load_registry().components("loss")} - OF_SHAPES)
# Rows of different datasets: one labels all, one lacks two classes, one has a single structure.
LABELLED = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 1, 0], [1, 0, 0, 0, 1]], dtype=torch.bool)


def example(seed: int, shape: tuple[int, int] = (4, 3), labelled: Tensor = LABELLED) -> tuple[Tensor, Tensor]:
    """Logits, and a label that holds labelled classes alone, some of its pixels ignored."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(len(labelled), CLASSES, *shape, generator=generator, dtype=torch.float64)
    label = torch.randint(0, CLASSES, (len(labelled), *shape), generator=generator)
    label = torch.where(labelled.gather(1, label.flatten(1)).view(label.shape), label, 0)
    ignored = torch.rand(label.shape, generator=generator) < 0.2
    return logits, label.masked_fill(ignored, IGNORE).byte()


def marginal(logits: Tensor, label: Tensor, labelled: Tensor) -> Tensor:
    """Minus the log-probability of the label: the sum over all whole labels that it may stand for, by enumeration."""
    p = logits.softmax(1)
    total = logits.new_zeros(())
    counted = 0
    for row in range(len(label)):
        hidden = [k for k in range(1, CLASSES) if not labelled[row, k]]
        places = [place for place in np.ndindex(*label.shape[1:]) if label[row][place] != IGNORE]
        choices = [[0, *hidden] if label[row][place] == 0 else [int(label[row][place])] for place in places]
        likelihoods = [
            torch.stack([p[row, k][place] for k, place in zip(whole, places, strict=True)]).prod()
            for whole in itertools.product(*choices)
        ]
        total = total - torch.stack(likelihoods).sum().log()
        counted += len(places)
    return total / counted


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", [cross_entropy, lambda k: dice_ce(k, dice_weight=0)], ids=["ce", "dice_ce"])
def test_cross_entropy_is_the_marginal_over_all_whole_labels(make: Callable[[int], Any], seed: int) -> None:
    """Value and gradient."""
    logits, label = example(seed, (2, 3))
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    found, expected = make(CLASSES)(ours, label, LABELLED), marginal(theirs, label, LABELLED)
    found.backward()
    expected.backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


def plain_dice(logits: Tensor, label: Tensor, labelled: Tensor, weights: list[float], **options: bool) -> float:
    """Soft Dice from its definition, with loops over rows, classes and pixels."""
    p = logits.softmax(1)
    groups = [range(len(label))] if options["batch"] else [range(row, row + 1) for row in range(len(label))]
    terms = []
    for group in groups:
        for k in range(0 if options["include_background"] else 1, CLASSES):
            overlap = predicted = reference = 0.0
            places = 0
            for row in group:
                for place in np.ndindex(*label.shape[1:]):
                    if label[row][place] == IGNORE or (k and not labelled[row, k]):
                        continue
                    merged = [0, *(u for u in range(1, CLASSES) if not labelled[row, u])] if k == 0 else [k]
                    probability = sum(float(p[row, u][place]) for u in merged)
                    hit = float(label[row][place] == k)
                    overlap += probability * hit
                    predicted += probability**2 if options["squared"] else probability
                    reference += hit
                    places += 1
            if places and (reference or not options["skip_absent"]):
                terms.append((weights[k], 1 - (2 * overlap + 1e-5) / (predicted + reference + 1e-5)))
    total = sum(weight for weight, _ in terms)
    return sum(weight * term for weight, term in terms) / total if total else 0.0


@settings(max_examples=40)
@given(
    seed=st.integers(0, 999),
    options=st.fixed_dictionaries(
        {name: st.booleans() for name in ("batch", "include_background", "squared", "skip_absent")}
    ),
    weights=st.none() | st.lists(st.floats(0.1, 9.0), min_size=CLASSES, max_size=CLASSES),
)
def test_dice_counts_a_class_where_rows_label_it(
    seed: int, options: dict[str, bool], weights: list[float] | None
) -> None:
    labelled = torch.rand(3, CLASSES, generator=torch.Generator().manual_seed(seed)) < 0.6
    labelled[:, 0] = True
    logits, label = example(seed, labelled=labelled)
    found = dice(CLASSES, weight=weights, **options)(logits, label, labelled)
    expected = plain_dice(logits, label, labelled, weights or [1.0] * CLASSES, **options)
    assert float(found) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "loss",
    [
        dice_ce(CLASSES, label_smoothing=0.1, weight=[0.5, 1, 2, 3, 4]),
        dice_ce(CLASSES, squared=True, include_background=True, batch=False, skip_absent=False),
        cross_entropy(CLASSES, weight=[0.5, 1, 2, 3, 4], label_smoothing=0.2),
        StructureLoss(CLASSES, window=3),
        StructureLoss(CLASSES, window=3, weighted_bce=False, weight=[0.5, 1, 2, 3, 4]),
    ],
)
def test_the_gradient_is_the_difference_quotient(loss: torch.nn.Module, memory_format: torch.memory_format) -> None:
    logits, label = example(1)
    logits = logits.contiguous(memory_format=memory_format).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, label, LABELLED), logits)


def test_weighted_and_smoothed_cross_entropy_is_pytorch_s_of_the_labelled_classes() -> None:
    """Of rows that label the same classes, with the others' probabilities added to the background's."""
    labelled = torch.tensor([[1, 1, 0, 1, 0]] * 2, dtype=torch.bool)
    logits, label = example(7, labelled=labelled)
    weights = [0.5, 1.0, 9.0, 3.0, 9.0]
    found = cross_entropy(CLASSES, weights, 0.2)(logits, label, labelled)
    merged = torch.stack([logits[:, [0, 2, 4]].logsumexp(1), logits[:, 1], logits[:, 3]], 1)
    compact = torch.tensor([0, 1, -100, 2, -100])[label.long().clamp_max(4)].masked_fill(label == IGNORE, -100)
    weight = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(found, F.cross_entropy(merged, compact, weight, label_smoothing=0.2))


@pytest.mark.parametrize("weighted_bce", [True, False])
def test_the_structure_loss_of_some_classes_is_that_of_a_network_with_these_alone(weighted_bce: bool) -> None:
    labelled = torch.tensor([[1, 1, 0, 1, 0]] * 2, dtype=torch.bool)
    logits, label = example(3, (6, 5), labelled)
    label[label == IGNORE] = 0
    found = StructureLoss(CLASSES, 3, weighted_bce=weighted_bce)(logits, label, labelled)
    merged = torch.stack([logits[:, [0, 2, 4]].logsumexp(1), logits[:, 1], logits[:, 3]], 1)
    compact = torch.tensor([0, 1, 0, 2, 0])[label.long()]
    torch.testing.assert_close(found, StructureLoss(3, 3, weighted_bce=weighted_bce)(merged, compact))


@pytest.mark.parametrize("name", NAMES)
def test_with_everything_labelled_a_loss_is_what_it_was(name: str) -> None:
    logits, label = example(2, (8, 8))
    label[label == IGNORE] = 0
    criterion = create_loss(LossConfig(name=name), CLASSES, partial=True)
    ours, theirs = (logits.float().requires_grad_() for _ in range(2))
    found = criterion(ours, label, torch.ones(3, CLASSES, dtype=torch.bool)).total
    expected = criterion(theirs, label).total
    found.backward()
    expected.backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_known_has_no_say(name: str) -> None:
    """Ignored pixels and rows, and where in background and unlabelled classes the probability lies."""
    logits, label = example(5, (8, 8))
    criterion = create_loss(LossConfig(name=name), CLASSES, partial=True)
    logits = logits.float().requires_grad_()
    expected = criterion(logits, label, LABELLED).total
    expected.backward()
    assert logits.grad is not None
    assert float(expected) > 0
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad.movedim(1, -1)[label == IGNORE].any()

    noise = torch.where((label == IGNORE)[:, None], 100 * torch.randn(logits.shape), 0)
    assert float(criterion(logits + noise, label, LABELLED).total) == pytest.approx(float(expected), rel=1e-5)

    swapped = logits.detach().clone()
    swapped[1, [0, 2, 4]] = swapped[1, [4, 0, 2]]
    swapped[2, [0, 1]] = swapped[2, [1, 0]]
    assert float(criterion(swapped, label, LABELLED).total) == pytest.approx(float(expected), rel=1e-5)
    swapped[2, [0, 4]] = swapped[2, [4, 0]]
    assert float(criterion(swapped, label, LABELLED).total) != pytest.approx(float(expected), rel=1e-5)

    more = torch.cat([logits, torch.randn(1, CLASSES, 8, 8)]), torch.cat([label, torch.full((1, 8, 8), IGNORE).byte()])
    with_row = criterion(*more, torch.cat([LABELLED, LABELLED[:1]])).total
    assert float(with_row) == pytest.approx(float(expected), rel=1e-5)
    nothing = criterion(logits, torch.full_like(label, IGNORE), LABELLED).total
    assert float(nothing) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_confident_network_has_finite_gradients(name: str) -> None:
    """The background's share of a probability underflows to 0, and so does the reference's class."""
    _, label = example(6, (8, 8))
    logits = torch.zeros(3, CLASSES, 8, 8)
    logits[:, 2] = 500.0
    logits.requires_grad_()
    total = create_loss(LossConfig(name=name), CLASSES, partial=True)(logits, label, LABELLED).total
    total.backward()
    assert logits.grad is not None
    assert torch.isfinite(total)
    assert torch.isfinite(logits.grad).all()


def test_an_edge_counts_where_it_is_known() -> None:
    _, label = example(9, (6, 7))
    logits = torch.randn(3, 1, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    losses = []
    for row, y, x in np.ndindex(3, 6, 7):
        around = set(label[row, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].flatten().tolist())
        if IGNORE in around or (around == {0} and not LABELLED[row].all()):
            continue
        p = torch.sigmoid(logits[row, 0, y, x])
        losses.append(-torch.log(p if len(around) > 1 else 1 - p))
    torch.testing.assert_close(edge_loss(logits, label, LABELLED), torch.stack(losses).mean())
    assert float(edge_loss(logits, torch.full_like(label, IGNORE), LABELLED)) == 0


def test_auxiliary_logits_and_edges_are_known_in_part_too() -> None:
    logits, label = example(4, (8, 6))
    coarse, edge = logits.float()[..., ::2, ::2], logits.float()[:, :1]
    criterion = create_loss(LossConfig(), CLASSES, partial=True)
    output = ModelOutput(logits.float(), {"coarse": Aux(coarse, 0.4), "edge": Aux(edge, 1.5, "edge")})
    found = criterion(output, label, LABELLED)
    resized = F.interpolate(coarse, (8, 6), mode="bilinear", align_corners=False)
    main, aux = (criterion(x, label, LABELLED).total for x in (logits.float(), resized))
    expected = main + 0.4 * aux + 1.5 * edge_loss(edge, label, LABELLED)
    torch.testing.assert_close(found.total, expected)


class Plain(torch.nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(logits, label.long())


def test_a_loss_that_cannot_be_known_in_part_is_refused_before_training(install: Install) -> None:
    install("acme", register_losses=[f"Component('plain', '{__name__}:Plain', 'a loss')"])
    for name in (*OF_SHAPES, "plain"):
        assert isinstance(create_loss(LossConfig(name=name), CLASSES), Criterion)
        with pytest.raises(UsageError, match=f"loss '{name}' cannot be used with partial labels"):
            create_loss(LossConfig(name=name), CLASSES, partial=True)
