from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.datasets.split import Fingerprint, Origin, Split, SplitCase, parse_split, read_split, require_same
from spine_ignite.errors import DataError, RunError

ORIGIN = Origin(seed=0, validation=0.2, folds=5, fold=None, fraction=1.0)


def sha(number: int) -> str:
    return f"{number:064x}"


def case(number: int, patient: str | None = None, voxels: int | None = None, mask: int | None = 7) -> SplitCase:
    return SplitCase(
        name=f"Case{number}",
        id=str(number),
        patient=patient or f"Case{number}",
        image=sha(number),
        mask=None if mask is None else sha(mask),
        voxels=sha(number if voxels is None else voxels),
    )


@given(
    numbers=st.lists(st.integers(0, 99), unique=True, max_size=9), cuts=st.tuples(st.integers(0, 9), st.integers(0, 9))
)
def test_a_split_comes_back_as_it_was_written(numbers: list[int], cuts: tuple[int, int]) -> None:
    cases = tuple(case(number, mask=None if number % 2 else number) for number in numbers)
    low, high = sorted(cuts)
    split = Split(origin=ORIGIN, training=cases[:low], validation=cases[low:high], test=cases[high:])
    assert parse_split(json.loads(split.to_json()), Path("split.json")) == split


def test_a_record_that_is_damaged_or_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    with pytest.raises(RunError, match=r"has no split\.json, so that .* are not known; train it again"):
        read_split(path)
    good = json.loads(Split(origin=ORIGIN, training=(case(1),), validation=(case(2),), test=()).to_json())
    for change, message in (
        ({"format": 2}, "format: input should be 1"),
        ({"training": [{**good["training"][0], "image": "abc"}]}, r"training\.0\.image: string should match"),
        ({"training": good["validation"]}, "case Case2 is listed twice"),
        ({"training": [{**good["training"][0], "patient": "Case2"}]}, "patient Case2 is both in training and in"),
        ({"extra": 1}, "unknown key 'extra'"),
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(DataError, match=message):
            read_split(path)
    path.write_text("{")
    with pytest.raises(DataError, match=r"split\.json cannot be read: .*; restore it"):
        read_split(path)


def test_what_flatters_the_result_is_told_once() -> None:
    split = Split(
        origin=ORIGIN,
        training=(case(1, "A"), case(2, "B"), case(3, "C")),
        validation=(case(4, "D"),),
        test=(case(5, "A", voxels=1), case(6, "B"), case(7, "D"), case(8)),
    )
    assert split.leaks() == [
        "Case1 (training) and Case5 (test) are the same image, which flatters the result",
        "Case2 (training) and Case6 (test) are of one patient, which flatters the result",
        "Case4 (validation) and Case7 (test) are of one patient, which flatters the result",
    ]
    assert split.leaks([case(6, "B")]) == split.leaks()[1:2]


def test_every_case_that_is_gone_or_changed_is_named() -> None:
    recorded = [case(number) for number in range(1, 6)] + [case(6, mask=None)]
    now = {c.name: Fingerprint(c.image, c.mask) for c in recorded}
    require_same(recorded, {**now, "Case6": Fingerprint(sha(6), sha(7))}, lambda found: found, Path("d"), Path("s"))
    del now["Case1"]
    now |= {"Case2": Fingerprint(sha(3), sha(7)), "Case3": Fingerprint(sha(2), sha(7))}
    now |= {"Case4": Fingerprint(sha(4), sha(9)), "Case5": Fingerprint(sha(5), None)}
    with pytest.raises(DataError) as caught:
        require_same(recorded, now, lambda found: found, Path("data"), Path("split.json"))
    assert str(caught.value) == (
        "dataset data is not what split.json records: it has no case Case1; another image has Case2, Case3; "
        "another mask has Case4; no mask has Case5; restore these files or begin a new run"
    )
