from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.datasets.hold_out import hold_out, keep_fraction

NAMES = st.lists(st.text("abc123", min_size=1, max_size=6), min_size=1, max_size=40, unique=True)
SEEDS = st.integers(0, 99)


def folds_of(names: list[str], seed: int, folds: int) -> list[frozenset[str]]:
    return [hold_out(names, seed, validation=0.2, folds=folds, fold=fold) for fold in range(folds)]


@given(names=NAMES, seed=SEEDS, folds=st.integers(2, 6))
def test_folds_are_disjoint_cover_everything_and_are_not_empty(names: list[str], seed: int, folds: int) -> None:
    found = folds_of(names, seed, folds)
    assert sorted(name for fold in found for name in fold) == sorted(names)
    assert sum(map(bool, found)) == min(folds, len(names))


@given(names=NAMES, seed=SEEDS, share=st.floats(0.01, 0.9))
def test_no_side_is_empty_and_the_order_does_not_matter(names: list[str], seed: int, share: float) -> None:
    found = hold_out(names, seed, validation=share, folds=5, fold=None)
    assert found == hold_out(names[::-1], seed, validation=share, folds=5, fold=None)
    assert found <= set(names)
    assert min(1, len(names) - 1) <= len(found) <= max(0, len(names) - 1)


@given(names=NAMES, added=NAMES, seed=SEEDS, share=st.floats(0.01, 0.9))
def test_patients_that_are_added_move_nobody_where_no_side_was_empty(
    names: list[str], added: list[str], seed: int, share: float
) -> None:
    """Whether the rule had to fill a side of the few is seen from what becomes of them among many."""
    crowd = [f"patient {n}" for n in range(100)]

    def held_out(patients: set[str]) -> frozenset[str]:
        return hold_out(patients, seed, validation=share, folds=5, fold=None)

    alone = held_out({*names, *crowd}) & set(names)
    if 0 < len(alone) < len(names):
        assert held_out(set(names)) == alone
        assert held_out({*names, *added}) & set(names) == alone


@given(names=NAMES, added=NAMES, seed=SEEDS, folds=st.integers(2, 6))
def test_patients_that_are_added_move_nobody_where_no_fold_was_empty(
    names: list[str], added: list[str], seed: int, folds: int
) -> None:
    crowd = [f"patient {n}" for n in range(100)]
    alone = [fold & set(names) for fold in folds_of([*{*names, *crowd}], seed, folds)]
    if all(alone) and len(names) > folds:
        assert folds_of(names, seed, folds) == alone
        assert [fold & set(names) for fold in folds_of([*{*names, *added}], seed, folds)] == alone


@given(seed=SEEDS, folds=st.integers(2, 10), stretches=st.integers(1, 5), first=st.integers(0, 50))
def test_numbered_patients_are_spread_evenly(seed: int, folds: int, stretches: int, first: int) -> None:
    names = [f"Case{n}" for n in range(first * folds, (first + stretches) * folds)]
    if len(names) > folds:
        assert {len(fold) for fold in folds_of(names, seed, folds)} == {stretches}
    held_out = hold_out(names, seed, validation=1 / folds, folds=5, fold=None)
    assert abs(len(held_out) - stretches) <= 1e-9 * len(names)


def test_another_seed_gives_another_choice() -> None:
    names = [f"Case{n}" for n in range(40)]
    assert len({hold_out(names, seed, validation=0.25, folds=5, fold=None) for seed in range(5)}) == 5


def test_no_validation_holds_out_nobody() -> None:
    assert hold_out(["a", "b"], 0, validation=0.0, folds=5, fold=None) == frozenset()


@given(names=NAMES, seed=SEEDS, small=st.floats(0.01, 1), large=st.floats(0.01, 1))
def test_a_smaller_fraction_is_part_of_a_larger(names: list[str], seed: int, small: float, large: float) -> None:
    small, large = sorted((small, large))
    assert keep_fraction(names, seed, small) <= keep_fraction(names, seed, large)
    assert keep_fraction(names, seed, 1.0) == set(names)
    assert len(keep_fraction([f"Case{n}" for n in range(100)], seed, 0.07)) == 7
