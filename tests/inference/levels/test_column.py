from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.inference.levels.column import Column, name_column
from spine_ignite.inference.levels.reasons import Reason, reasons
from spine_ignite.inference.levels.record import describe
from spine_ignite.labels import load_scheme
from spine_ignite.phantom import make_phantom
from spine_ignite.volumes.geometry import head_foot_axis, sagittal_axis

SCHEME = load_scheme("mrspineseg")
VERTEBRAE = [c.index for c in SCHEME.classes if c.kind == "vertebra"]
DISCS = [c.index for c in SCHEME.classes if c.kind == "disc"]
SACRUM = 1


@pytest.fixture(scope="module", params=[0, 1])
def spine(request: pytest.FixtureRequest) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    phantom = make_phantom(5, 0, request.param)
    return SCHEME.to_indices(phantom.label), phantom.affine


def by_name(column: Column, truth: NDArray[np.uint8]) -> dict[str, float]:
    """Of each structure that is not at the edge of the field of view the share of voxels with the right class."""
    sizes = np.bincount(truth.ravel(), minlength=SCHEME.num_classes)
    whole = [index for index in (*VERTEBRAE, *DISCS) if sizes[index] > 0.3 * np.median(sizes[sizes > 0][1:])]
    return {SCHEME.names[index]: float((column.indices[truth == index] == index).mean()) for index in whole}


def shifted(labels: NDArray[np.uint8], by: int = 1) -> NDArray[np.uint8]:
    """Vertebrae and discs with the names of those above."""
    table = np.arange(256, dtype=np.uint8)
    for group in (VERTEBRAE, DISCS):
        for place, index in enumerate(group):
            table[index] = group[min(max(place + by, 0), len(group) - 1)]
    return table[labels]


def test_right_names_stay_and_are_sure(spine: tuple[NDArray[np.uint8], NDArray[np.float64]]) -> None:
    labels, affine = spine
    column = name_column(labels, affine, SCHEME)
    assert min(by_name(column, labels).values()) == 1
    assert column.probability > 0.95
    assert reasons(column) == []
    said = describe(column)
    vertebrae = [row for row in said["instances"] if row["kind"] == "vertebra"]
    assert vertebrae[0]["level"] == "L5"
    for row in said["instances"]:
        index = SCHEME.names.index(row["level"])
        centroid = affine[:3, :3] @ np.argwhere(labels == index).mean(axis=0) + affine[:3, 3]
        assert row["centroid_mm"] == pytest.approx(centroid, abs=0.5)


def test_slices_that_are_named_one_level_off_follow_the_others(
    spine: tuple[NDArray[np.uint8], NDArray[np.float64]],
) -> None:
    labels, affine = spine
    axis = sagittal_axis(affine)
    spoilt = np.moveaxis(labels.copy(), axis, 0)
    seen = np.flatnonzero(np.isin(spoilt, VERTEBRAE).any(axis=(1, 2)))
    for number in seen[: int(0.4 * len(seen))]:
        spoilt[number] = shifted(spoilt[number])
    column = name_column(np.moveaxis(spoilt, 0, axis), affine, SCHEME)
    assert min(by_name(column, labels).values()) > 0.99


def test_two_vertebrae_of_one_name_get_two(spine: tuple[NDArray[np.uint8], NDArray[np.float64]]) -> None:
    labels, affine = spine
    spoilt = np.where(labels == VERTEBRAE[2], VERTEBRAE[1], labels)
    assert min(by_name(name_column(spoilt, affine, SCHEME), labels).values()) > 0.99


def test_a_column_one_level_too_high_on_its_sacrum_is_not_believed(
    spine: tuple[NDArray[np.uint8], NDArray[np.float64]],
) -> None:
    labels, affine = spine
    column = name_column(shifted(labels), affine, SCHEME)
    sure = name_column(labels, affine, SCHEME)
    assert column.levels[1] == "L5" or column.probability < sure.probability
    assert reasons(column)


def test_a_missed_vertebra_is_told_and_the_others_keep_their_names(
    spine: tuple[NDArray[np.uint8], NDArray[np.float64]],
) -> None:
    labels, affine = spine
    spoilt = np.where(labels == VERTEBRAE[2], 0, labels).astype(np.uint8)
    column = name_column(spoilt, affine, SCHEME)
    named = by_name(column, spoilt)
    assert min(named[name] for name in ("L5", "L4", "L2", "L1")) == 1
    assert Reason("a vertebra between L4 and L2 was not found", asks=True) in reasons(column)


def test_without_its_lower_end_a_column_is_told_to_lack_the_sacrum(
    spine: tuple[NDArray[np.uint8], NDArray[np.float64]],
) -> None:
    labels, affine = spine
    axis = head_foot_axis(affine)
    rows = np.flatnonzero((labels == VERTEBRAE[1]).any(axis=tuple(a for a in range(3) if a != axis)))
    upwards = affine[2, axis] > 0
    part: list[slice] = [slice(None)] * 3
    part[axis] = slice(int(rows[0]), None) if upwards else slice(None, int(rows[-1]) + 1)
    cut = labels[tuple(part)]
    column = name_column(cut, affine, SCHEME)
    assert Reason("the sacrum is not in the field of view", asks=True) in reasons(column)
    assert describe(column)["column"]["asked_for"] == ["the sacrum is not in the field of view"]


def test_probabilities_outweigh_the_names_that_they_gave(
    spine: tuple[NDArray[np.uint8], NDArray[np.float64]],
) -> None:
    """A network that is nearly undecided everywhere leaves a doubt that its label map hides."""
    labels, affine = spine
    called = labels[labels > 0]
    sure = np.zeros((len(called), SCHEME.num_classes), np.float32)
    sure[np.arange(len(called)), called] = 1
    undecided = 0.51 * sure
    undecided[np.arange(len(called)), shifted(called)] += 0.49
    certain, doubtful = (name_column(labels, affine, SCHEME, table) for table in (sure, undecided))
    assert certain.probability == pytest.approx(name_column(labels, affine, SCHEME).probability, abs=1e-6)
    assert doubtful.probability < certain.probability
    assert doubtful.pooled is not None
    assert doubtful.pooled[0, VERTEBRAE[1]] == pytest.approx(0.49, abs=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_no_column(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = np.where(rng.random((9, 40, 40)) < 0.03, rng.integers(1, 20, (9, 40, 40)), 0).astype(np.uint8)
    column = name_column(noise, np.diag([4.0, 1.0, 1.0, 1.0]), SCHEME)
    assert column.posterior is None
    assert np.array_equal(column.indices, noise)
    assert reasons(column) == [Reason("no column whose levels could be named was found", asks=True)]


def test_the_sliver_of_a_next_vertebra_is_no_part_of_the_highest(
    spine: tuple[NDArray[np.uint8], NDArray[np.float64]],
) -> None:
    """The field of view ends above the lower end of L1, which bone joins to L2 in a slice."""
    labels, affine = spine
    axis, lateral = head_foot_axis(affine), sagittal_axis(affine)
    one, two, disc = (SCHEME.names.index(name) for name in ("L1", "L2", "L1/L2"))
    rows = np.flatnonzero((labels == one).any(axis=tuple(a for a in range(3) if a != axis)))
    part = [slice(None)] * 3
    part[axis] = slice(None, int(rows[0]) + 4) if affine[2, axis] > 0 else slice(int(rows[-1]) - 3, None)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, axis] * (part[axis].start or 0)
    cut = labels[tuple(part)].copy()
    joined = cut.copy()
    middle = [slice(None)] * 3
    middle[lateral] = int(np.median(np.nonzero(cut == disc)[lateral]))
    joined[tuple(middle)] = np.where(joined[tuple(middle)] == disc, two, joined[tuple(middle)])
    found = name_column(joined, moved, SCHEME)
    assert len(found.found.vertebrae) == 4, "otherwise the sliver is a piece of its own"
    assert (found.indices[cut == one] == one).mean() > 0.8
    assert (found.indices[cut == two] == two).mean() > 0.95


def test_two_namings_at_once_are_asked_about(spine: tuple[NDArray[np.uint8], NDArray[np.float64]]) -> None:
    """As where there are six lumbar vertebrae: the one naming here, the other there."""
    labels, affine = spine
    lateral = sagittal_axis(affine)
    side = np.arange(labels.shape[lateral]).reshape([-1 if a == lateral else 1 for a in range(3)])
    torn = np.where(side < np.median(np.nonzero(np.isin(labels, VERTEBRAE))[lateral]), shifted(labels), labels)
    said = describe(name_column(torn.astype(np.uint8), affine, SCHEME))["column"]
    assert "the names of the lumbar vertebrae are those of two namings" in said["asked_for"]
    assert describe(name_column(labels, affine, SCHEME))["column"]["asked_for"] == []
