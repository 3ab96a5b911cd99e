"""Phantoms as a whole: labels, volumes, order, storage, the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spine_ignite.datasets.checks import check_dataset
from spine_ignite.errors import RunError, UsageError
from spine_ignite.labels import load_scheme
from spine_ignite.phantom import VARIED, Exam, Phantom, PhantomOptions, make_phantom, write_phantoms
from spine_ignite.volumes.geometry import SliceGrid

# Sacrum, L5/S, L5, L4/L5, L4 ... T9/T10, T9: the column from the sacrum up.
UPWARDS = [1] + [value for level in range(9) for value in (11 + level, 2 + level)]


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [make_phantom(0, 0, number, num_slices=7) for number in range(6)]


def heights_along(phantom: Phantom, values: list[int]) -> list[float]:
    """Height in the world of the middle of each structure that is there."""
    places = [np.argwhere(phantom.label == value) for value in values]
    return [
        float((voxels @ phantom.affine[:3, :3].T + phantom.affine[:3, 3])[:, 2].mean())
        for voxels in places
        if len(voxels)
    ]


def test_all_twenty_labels_are_there(phantoms: list[Phantom]) -> None:
    found = set().union(*(np.unique(p.label).tolist() for p in phantoms))
    assert found == set(range(20))
    tops = {int(max(set(np.unique(p.label)) & set(range(2, 11)))) for p in phantoms}
    assert len(tops) > 1, "the field of view varies: the top levels are often cut off"


def test_the_levels_follow_each_other_up_the_column(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        heights = heights_along(phantom, UPWARDS)
        assert len(heights) > 12
        assert (np.diff(heights) > 0).all()


def test_volumes_are_those_of_adults(phantoms: list[Phantom]) -> None:
    """Lumbar bodies measure about 25 to 60 ml, discs about 5 to 25 ml."""
    for phantom in phantoms:
        milliliters = abs(float(np.linalg.det(phantom.affine[:3, :3]))) / 1000
        for value in (2, 3, 4, 5):
            assert 18 < (phantom.label == value).sum() * milliliters < 65
        for value in (12, 13, 14):
            assert 4 < (phantom.label == value).sum() * milliliters < 30


def test_a_case_depends_on_its_own_numbers_only() -> None:
    first, second = make_phantom(3, 0, 1, num_slices=3), make_phantom(3, 0, 1, num_slices=3)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.label, second.label)
    for other in ((4, 0, 1), (3, 1, 1), (3, 0, 2)):
        changed = make_phantom(*other, num_slices=3)
        assert changed.image.shape != first.image.shape or not np.array_equal(changed.image, first.image)


def test_a_slice_is_the_same_alone_as_in_the_volume() -> None:
    whole = make_phantom(2, 1, 4, num_slices=5, options=VARIED)
    grid = SliceGrid.from_geometry(whole.label.shape, whole.affine)
    image, label = Exam(2, 1, 4, num_slices=5, options=VARIED).slice(3)
    from_left = [np.array_equal(image, plane) for plane in grid.image_to_slices(whole.image)]
    assert sum(from_left) == 1
    place = from_left.index(True)
    np.testing.assert_array_equal(label, grid.label_to_slices(whole.label)[place])
    assert place in (1, 3), "slices are counted from the right"


def test_scans_are_stored_in_several_orders_and_always_sagittal(phantoms: list[Phantom]) -> None:
    grids = [SliceGrid.from_geometry(p.label.shape, p.affine) for p in phantoms]
    assert len({grid.axes for grid in grids}) > 1
    for grid in grids:
        assert grid.num_slices == 7
        assert 1.0 <= grid.native_spacing[0] <= 1.5
        assert 3.8 <= grid.slice_spacing <= 5.0


def test_noise_in_the_air_is_rician(phantoms: list[Phantom]) -> None:
    """Almost without signal the magnitude is Rayleigh distributed: mean / deviation = sqrt(pi / (4 - pi)) = 1.91."""
    ratios = []
    for phantom in phantoms:
        grid = SliceGrid.from_geometry(phantom.label.shape, phantom.affine)
        corner = grid.image_to_slices(phantom.image)[:, :12, -6:]
        ratios.append(float(corner.mean() / corner.std()))
    assert np.median(ratios) == pytest.approx(1.91, abs=0.35)


def test_the_dataset_is_sound(tmp_path: Path) -> None:
    write_phantoms(tmp_path, train=2, test=1, num_slices=3)
    report = check_dataset(tmp_path, load_scheme("mrspineseg"))
    assert report.problems == ()
    assert report.warnings == ()
    assert [case.name for case in report.dataset.cases] == ["Case1", "Case2", "Case3"]


def test_phantoms_take_the_place_of_phantoms_alone(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "own", train=1, test=0, num_slices=3)
    write_phantoms(tmp_path / "own", train=1, test=0, seed=1, num_slices=3)
    scan = tmp_path / "dataset" / "train" / "source" / "Case1.nii.gz"
    scan.parent.mkdir(parents=True)
    scan.write_text("a scan")
    with pytest.raises(RunError, match=r"did not make as phantoms, .*Case1\.nii\.gz for one"):
        write_phantoms(tmp_path / "dataset", train=2, test=0, num_slices=3)
    assert [path for path in (tmp_path / "dataset").rglob("*") if path.is_file()] == [scan]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"contrast": "ct"},
            r"there is no contrast 'ct' of phantoms; choose one of t1, t2, stir, pd, water, random, mixed",
        ),
        ({"view": "cervical"}, "there is no view 'cervical' of phantoms; choose one of lumbar, any"),
        ({"scheme": "spider"}, "there is no scheme 'spider' of phantoms; choose one of mrspineseg, spine"),
        ({"variety": 1.5}, "the variety of phantoms lies between 0 and 1, not 1.5"),
    ],
)
def test_options_that_there_are_not_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PhantomOptions(**given)  # type: ignore[arg-type]
