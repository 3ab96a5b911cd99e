"""Decide which cases of a dataset train and which validate: by the seed, or as a file says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from spine_ignite.config import DataConfig
from spine_ignite.datasets.folds import Folds, join_splits
from spine_ignite.datasets.hold_out import hold_out, keep_fraction
from spine_ignite.datasets.listed_split import Lists, count_listed, read_listed, resolve
from spine_ignite.datasets.patients import join_equal, listed, patients_of
from spine_ignite.datasets.sources import own_name, prefixed
from spine_ignite.datasets.split import Fingerprint, Origin, Split, SplitCase, require_same
from spine_ignite.errors import DataError, UsageError
from spine_ignite.slices.store import SliceStore, StoredCase
from spine_ignite.volumes.digests import file_sha256


def choose_split(data: DataConfig, seed: int, store: SliceStore) -> Split:
    """Return the split of a run.

    Without ``data.split`` patients are held out by the seed, see :func:`.hold_out.hold_out`. The ``split.json`` of a
    run is returned as it is, once the cases that it trains and validates on are found unchanged; another list is taken
    as it is, but for ``data.fraction``.

    Raises:
        DataError: the list cannot be used, the dataset is not what it records, or a side has no case or no structure.
        UsageError: the configuration asks for another split than the run's that it names.
    """
    cases = {case.name: case for case in store.cases}
    given = read_listed(data.split, data.fold) if data.split is not None else None
    if isinstance(given, Split):
        assert data.split is not None
        _require_asked(data, given)
        require_same((*given.training, *given.validation), cases, fingerprint_of_stored, data.root, data.split)
        split = given
    else:
        split = _make(data, seed, store, given)
    _require_structures(split, cases, data.root)
    _require_contrasts(split, cases, data.contrasts)
    return split


def choose_folds(data: DataConfig, seed: int, store: SliceStore) -> Folds:
    """Return the splits of all folds of a cross-validation, each as :func:`choose_split` makes it.

    There are ``data.folds``, or as many as a list of splits holds (``data.split``).

    Raises:
        DataError: a fold has an empty side, or the listed splits do not hold out each case once.
        UsageError: the list holds one split.
    """
    count = data.folds if data.split is None else count_listed(data.split)
    if count < 2:
        raise UsageError(
            f"data.split={data.split} holds one split; a cross-validation needs a list of them, such as nnU-Net's "
            "splits_final.json, or makes its own without data.split"
        )
    sections = [data.model_copy(update={"folds": count, "fold": fold}) for fold in range(count)]
    splits = [choose_split(section, seed, store) for section in sections]
    origin = splits[0].origin.model_copy(update={"fold": None, "folds": count})
    return join_splits(splits, origin, str(data.split or data.root))


def fingerprint_of_stored(case: StoredCase) -> Fingerprint:
    """Return the fingerprint of a case in a slice store."""
    return Fingerprint(case.sha256, case.label.sha256 if case.label is not None else None)


def _make(data: DataConfig, seed: int, store: SliceStore, lists: Lists | None) -> Split:
    own = _patients(data, store)
    joined = join_equal(
        (own[case.name], voxels, case.split == "train")
        for case in store.cases
        for voxels in (case.content, *case.others)
    )
    patients = {name: joined[patient] for name, patient in own.items()}
    trainable = {case.name: patients[case.name] for case in store.split("train")}
    origin = Origin(seed=seed, validation=data.validation, folds=data.folds, fold=data.fold, fraction=data.fraction)
    if lists is None or data.split is None:
        parts = _by_seed(trainable, data, seed)
    else:
        parts = {part: set(names) for part, names in resolve(lists, trainable, data.split).items()}
        listing = {"fold": lists.entry, "file": str(data.split), "sha256": file_sha256(data.split)}
        origin = origin.model_copy(update=listing)
    kept = keep_fraction({patients[name] for name in parts["training"]}, seed, data.fraction)
    parts["training"] = {name for name in parts["training"] if patients[name] in kept}
    parts["test"] |= {case.name for case in store.split("test")}
    chosen = {
        part: tuple(_record(case, patients[case.name], data) for case in store.cases if case.name in names)
        for part, names in parts.items()
    }
    return Split(origin=origin, **chosen)


def _by_seed(patients: Mapping[str, str], data: DataConfig, seed: int) -> dict[str, set[str]]:
    everybody = set(patients.values())
    held_out = hold_out(everybody, seed, validation=data.validation, folds=data.folds, fold=data.fold)
    if data.fold is not None and everybody and not 0 < len(held_out) < len(everybody):
        raise DataError(
            f"fold {data.fold} of {data.folds} leaves a side empty: {data.root} has {len(everybody)} patients to train "
            "on; lower data.folds, or hold out a share with data.validation"
        )
    return {
        "training": {name for name, patient in patients.items() if patient not in held_out},
        "validation": {name for name, patient in patients.items() if patient in held_out},
        "test": set(),
    }


def _patients(data: DataConfig, store: SliceStore) -> dict[str, str]:
    """The patient of each case; one that a rule names is the same in all datasets, one by a case's name in one."""
    found: dict[str, str] = {}
    for dataset, rule in (("", data.patients), *((item.name, item.patients) for item in data.also)):
        names = [own_name(dataset, case.name) for case in store.cases if case.dataset == dataset]
        for name, patient in patients_of(names, rule).items():
            found[prefixed(dataset, name)] = patient if rule is not None else prefixed(dataset, patient)
    return found


def _record(case: StoredCase, patient: str, data: DataConfig) -> SplitCase:
    now = fingerprint_of_stored(case)
    dataset = case.dataset or data.root.absolute().name or str(data.root) if data.also else None
    return SplitCase(
        name=case.name,
        id=case.id,
        patient=patient,
        image=now.image,
        mask=now.mask,
        voxels=case.content,
        dataset=dataset,
        others=case.others,
    )


def _require_asked(data: DataConfig, split: Split) -> None:
    """Refuse a configuration that names a run's split and asks for another in the same breath."""
    defaults = {name: DataConfig.model_fields[name].default for name in ("fold", "folds", "validation", "fraction")}
    for name, default in defaults.items():
        asked, recorded = getattr(data, name), getattr(split.origin, name)
        if asked not in (default, recorded):
            raise UsageError(
                f"data.{name} is {asked}, but the split {data.split} was made with {recorded}; for a new split give "
                "data.split=null"
            )


def _require_structures(split: Split, cases: Mapping[str, StoredCase], root: Path) -> None:
    """Refuse a side without any structure: there is nothing to learn, or no epoch is better than another."""
    for part, recorded, advice in (
        ("training", split.training, "check their masks and data.scheme"),
        ("validation", split.validation, "hold out others (seed, data.fold, data.split) or none (data.validation=0)"),
    ):
        names = [case.name for case in recorded]
        if names and not any(sum(cases[name].voxels[1:]) for name in names):
            raise DataError(f"no mask of the {part} cases of {root} has a structure in it ({listed(names)}); {advice}")


def _require_contrasts(split: Split, cases: Mapping[str, StoredCase], contrasts: Sequence[str]) -> None:
    """Refuse a contrast that no training case has: its weights would stay random, and spoil each image that has it."""
    lacking = [name for name in contrasts if not any(name in cases[case.name].images for case in split.training)]
    if lacking:
        raise DataError(
            f"no training case has the contrast {lacking[0]} ({listed([case.name for case in split.training])}), and a "
            "network cannot learn what to make of it; correct data.contrasts or the names of files, or train on others"
        )
