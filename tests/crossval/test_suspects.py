"""Masks that are wrong come before cases that are hard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.crossval.suspects import Suspicion, suspicions
from spine_ignite.evaluation.case_results import evaluate_case
from spine_ignite.labels import load_scheme

SCHEME = load_scheme("mrspineseg")
VERTEBRAE = [entry.index for entry in SCHEME.classes if entry.kind == "vertebra"][:5]
DISCS = [entry.index for entry in SCHEME.classes if entry.kind == "disc"][:5]
SACRUM = next(entry.index for entry in SCHEME.classes if entry.kind == "sacrum")
Mask = NDArray[np.uint8]


def spine(number: int) -> Mask:
    """A sacrum, five vertebrae and five discs; a little elsewhere in each case."""
    mask = np.zeros((30, 110, 5), np.uint8)
    left, foot = 6 + 2 * (number % 4), 2 + 3 * (number % 5)
    mask[left : left + 14, foot : foot + 12, 1:4] = SACRUM
    for place in range(5):
        low = foot + 12 + 15 * place
        mask[left : left + 14, low : low + 4, 1:4] = DISCS[place]
        mask[left : left + 14, low + 4 : low + 15, 1:4] = VERTEBRAE[place]
    return mask


def predicted(mask: Mask) -> Mask:
    """What a network might make of it: the border a voxel off."""
    return np.roll(mask, 1, axis=0)


def hard(mask: Mask) -> Mask:
    """What a network makes of a bad image: half of each structure, and two of them not at all."""
    found = np.where(ndimage.binary_erosion(mask > 0, np.ones((3, 3, 1))), mask, 0).astype(np.uint8)
    found[found == VERTEBRAE[4]] = 0
    return np.roll(found, 3, axis=0)


def shifted(mask: Mask, by: int = 1) -> Mask:
    moved = mask.copy()
    for column in (VERTEBRAE, DISCS):
        for index in column:
            moved[mask == index] = index + by
    return moved


def erased(mask: Mask) -> Mask:
    return np.where(mask == VERTEBRAE[2], 0, mask).astype(np.uint8)


def exchanged(mask: Mask) -> Mask:
    """Two vertebrae have each other's names."""
    moved = mask.copy()
    moved[mask == VERTEBRAE[1]], moved[mask == VERTEBRAE[2]] = VERTEBRAE[2], VERTEBRAE[1]
    return moved


def of_another(mask: Mask) -> Mask:
    """The mask of a patient who lies the other way round."""
    return mask[:, ::-1].copy()


def empty(mask: Mask) -> Mask:
    return np.zeros_like(mask)


def rank(masks: list[Mask], predictions: list[Mask]) -> list[Suspicion]:
    pairs = enumerate(zip(masks, predictions, strict=True))
    return suspicions([evaluate_case(f"Case{n}", m, p, (1.0, 1.0, 4.0), SCHEME) for n, (m, p) in pairs], SCHEME)


@pytest.mark.parametrize(
    ("spoil", "kind", "says"),
    [
        (shifted, "levels", "the mask names the column 1 level higher than the prediction"),
        (lambda mask: erased(shifted(mask, 2)), "levels", "the mask names the column 2 levels higher"),
        (exchanged, "levels", "2 of 5 vertebrae have another name in the prediction"),
        (erased, "missing in mask", "is predicted and not in the mask"),
        (of_another, None, None),
        (empty, "place", "the mask is empty"),
    ],
)
def test_a_spoilt_mask_comes_before_a_hard_case(spoil: Callable[[Mask], Mask], kind: str | None, says: Any) -> None:
    spines = [spine(n) for n in range(8)]
    predictions = [*map(predicted, spines[:-1]), hard(spines[-1])]
    found = rank([*spines[:2], spoil(spines[2]), *spines[3:]], predictions)
    assert found[0].case == "Case2"
    assert found[1].case == "Case7"
    assert kind in (None, found[0].kind)
    assert says is None or says in found[0].says
    assert all(0 <= suspicion.score <= 1 for suspicion in found)
    assert max(suspicion.score for suspicion in found[2:]) < 0.05


def test_what_a_network_never_finds_is_no_reason_to_suspect_a_mask() -> None:
    spines = [spine(n) for n in range(6)]
    rare = VERTEBRAE[4]
    predictions = [np.where(mask == rare, 0, predicted(mask)).astype(np.uint8) for mask in spines]
    found = rank([*spines[:4], erased(spines[4]), spines[5]], predictions)
    assert found[0].case == "Case4"
    assert max(suspicion.score for suspicion in found[1:]) < 0.1


@settings(max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_any_masks_are_ranked(kinds: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (4, 6, 3)
    volumes = [
        (rng.integers(0, SCHEME.num_classes, shape) * rng.integers(0, 2) * (kind > 0)).astype(np.uint8)
        for kind in (*kinds, *kinds)
    ]
    found = rank(volumes[: len(kinds)], volumes[len(kinds) :])
    assert {suspicion.case for suspicion in found} == {f"Case{n}" for n in range(len(kinds))}
    assert [suspicion.score for suspicion in found] == sorted((s.score for s in found), reverse=True)
    assert all(0 <= suspicion.score <= 1 for suspicion in found)
