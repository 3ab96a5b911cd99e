from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.data.folds import split_cases

NAMES = st.lists(st.text("abc123", min_size=1, max_size=6), min_size=2, max_size=40, unique=True)


@given(names=NAMES, seed=st.integers(0, 99), folds=st.integers(2, 6))
def test_folds_are_disjoint_and_cover_everything(names: list[str], seed: int, folds: int) -> None:
    held_out = []
    for fold in range(folds):
        train, validation = split_cases(names, seed, validation=0.2, folds=folds, fold=fold)
        assert set(train) | set(validation) == set(names)
        assert not set(train) & set(validation)
        held_out += validation
    assert sorted(held_out) == sorted(names)


@given(names=NAMES, seed=st.integers(0, 99), share=st.floats(0.01, 0.9))
def test_the_split_ignores_the_order_of_the_files(names: list[str], seed: int, share: float) -> None:
    first = split_cases(names, seed, validation=share, folds=5, fold=None)
    second = split_cases(names[::-1], seed, validation=share, folds=5, fold=None)
    assert first == second
    assert 1 <= len(first[1]) < len(names)


def test_fraction_takes_from_training_only() -> None:
    names = [f"Case{n}" for n in range(40)]
    whole, validation = split_cases(names, 0, validation=0.25, folds=5, fold=None)
    part, same = split_cases(names, 0, validation=0.25, folds=5, fold=None, fraction=0.2)
    assert same == validation
    assert len(validation) == 10
    assert part == whole[:6]


def test_another_seed_gives_another_split() -> None:
    names = [f"Case{n}" for n in range(40)]
    splits = {tuple(split_cases(names, seed, validation=0.25, folds=5, fold=None)[1]) for seed in range(5)}
    assert len(splits) == 5


def test_no_validation_keeps_all_for_training() -> None:
    assert split_cases(["a", "b"], 0, validation=0.0, folds=5, fold=None)[1] == []
