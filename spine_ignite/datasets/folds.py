"""The folds of a cross-validation: made once for all of them, and read by each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic import ValidationError, model_validator

from spine_ignite.datasets.patients import listed
from spine_ignite.datasets.split import Origin, Record, Split, SplitCase, read_json
from spine_ignite.errors import DataError


class Fold(Record):
    """The names of the cases on both sides of a fold, as in nnU-Net's ``splits_final.json``."""

    train: tuple[str, ...]
    val: tuple[str, ...]


class Folds(Record):
    """Every training case with what tells whether it is still the same, and which of them each fold holds out.

    Each case is held out exactly once, and no patient is on both sides of a fold.
    """

    format: Literal[1] = 1
    origin: Origin
    folds: tuple[Fold, ...]
    cases: tuple[SplitCase, ...]
    test: tuple[SplitCase, ...]

    @model_validator(mode="after")
    def _each_once(self) -> Folds:
        if len(self.folds) < 2:
            raise ValueError(f"a cross-validation has at least two folds, not {len(self.folds)}")
        names = {case.name for case in self.cases}
        held_out = Counter(name for fold in self.folds for name in fold.val)
        known = {name for fold in self.folds for name in (*fold.train, *fold.val)} | held_out.keys()
        if unknown := sorted(known - names):
            raise ValueError(f"the folds name {listed(unknown)}, of which no case is recorded")
        if wrong := sorted(name for name in names if held_out[name] != 1):
            counts = sorted({held_out[name] for name in wrong})
            raise ValueError(
                f"each case must be held out once, but {listed(wrong)} is in {' or '.join(map(str, counts))} folds"
            )
        patients = {case.name: case.patient for case in self.cases}
        for number, fold in enumerate(self.folds):
            shared = {patients[name] for name in fold.train} & {patients[name] for name in fold.val}
            if shared:
                raise ValueError(f"patient {min(shared)} is on both sides of fold {number}")
        return self

    @property
    def fold_of(self) -> dict[str, int]:
        """The fold that holds a case out, by the case's name."""
        return {name: number for number, fold in enumerate(self.folds) for name in fold.val}

    def split(self, fold: int) -> Split:
        """Return the split of a fold, numbered from 0."""
        train, val = (set(side) for side in (self.folds[fold].train, self.folds[fold].val))
        return Split(
            origin=self.origin.model_copy(update={"fold": fold}),
            training=tuple(case for case in self.cases if case.name in train),
            validation=tuple(case for case in self.cases if case.name in val),
            test=self.test,
        )


def parse_folds(data: object, path: Path) -> Folds:
    """Read what :meth:`Folds.to_json` wrote.

    Raises:
        DataError: it is something else.
    """
    from spine_ignite.validation_errors import describe

    try:
        return Folds.model_validate(data, strict=False)
    except ValidationError as error:
        raise DataError(f"{path} does not hold the folds of a cross-validation: {describe(error, Folds)}") from error


def read_folds(path: Path) -> Folds:
    """Read the ``splits.json`` of a cross-validation.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return parse_folds(read_json(path), path)
    except FileNotFoundError as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}; restore it") from error


def join_splits(splits: list[Split], origin: Origin, source: str) -> Folds:
    """Put the splits of all folds together.

    Args:
        splits: one a fold.
        origin: how they came about.
        source: where they come from, for messages.

    Raises:
        DataError: they are not those of a cross-validation: a case is held out twice or never, say.
    """
    found: dict[str, SplitCase] = {}
    for split in splits:
        found.update({case.name: case for case in (*split.training, *split.validation)})
    tests = {split.test for split in splits}
    data = {
        "origin": origin,
        "folds": [
            {"train": [case.name for case in split.training], "val": [case.name for case in split.validation]}
            for split in splits
        ],
        "cases": tuple(found.values()),
        "test": splits[0].test,
    }
    if len(tests) > 1:
        raise DataError(f"the splits in {source} differ in their test cases; a cross-validation has one test part")
    return parse_folds(data, Path(source))
