"""What is labelled agrees with the geometry that the person states."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from spine_ignite.phantom import VARIED, Exam, PhantomOptions
from spine_ignite.phantom.anatomy import Vertebra
from spine_ignite.phantom.values import SPINE_VALUES

CASES = 6


def rendered(exam: Exam) -> tuple[np.ndarray, np.ndarray]:
    slices = [exam.slice(index) for index in range(exam.num_slices)]
    return np.stack([image for image, _ in slices]), np.stack([label for _, label in slices])


@pytest.fixture(scope="module")
def exams() -> list[tuple[Exam, np.ndarray, np.ndarray]]:
    made = [Exam(7, 0, number, num_slices=7, options=VARIED) for number in range(CASES)]
    return [(exam, *rendered(exam)) for exam in made]


def in_frame(exam: Exam, vertebra: Vertebra, voxels: np.ndarray) -> np.ndarray:
    """Bring voxels ``(N, 3)`` into a vertebra's frame, by the scan's geometry alone."""
    scan = exam.scan
    mm = (voxels - (np.array(scan.size) - 1) / 2) * scan.spacing
    result: np.ndarray = (scan.centre + mm @ scan.turn - vertebra.centre) @ vertebra.axes.T
    return result


def test_bodies_lie_where_the_person_has_them_with_their_sizes(exams) -> None:  # type: ignore[no-untyped-def]
    seen = 0
    for exam, _, label in exams:
        for vertebra, disc in zip(exam.spine.vertebrae, exam.spine.discs, strict=True):
            voxels = np.argwhere(label == SPINE_VALUES[vertebra.name])
            edge = ((voxels[:, 1:] == 0) | (voxels[:, 1:] == np.array(label.shape[1:]) - 1)).any()
            changed = disc.fused or sum(vertebra.crush) or any(vertebra.lips)
            if len(voxels) < 50 or edge or changed:
                continue
            a, b, u = in_frame(exam, vertebra, voxels).T
            fit = exam.scan.spacing[1] + 1.0
            assert np.abs(u).max() < vertebra.height / 2 + 0.5 + abs(vertebra.wedge) / 2 + fit
            assert np.abs(b).max() < vertebra.depth / 2 + fit
            assert np.abs(a).max() < vertebra.width / 2 + exam.scan.spacing[0]
            middle = np.abs(a) < 0.25 * vertebra.width
            assert np.ptp(u[middle]) == pytest.approx(vertebra.height, abs=abs(vertebra.wedge) + fit)
            assert np.ptp(b[middle]) == pytest.approx(vertebra.depth, abs=fit + 1)
            seen += 1
    assert seen > 6


def test_each_disc_lies_between_its_two_neighbours(exams) -> None:  # type: ignore[no-untyped-def]
    seen = 0
    for exam, _, label in exams:
        for level, disc in enumerate(exam.spine.discs[1:], 1):
            voxels = np.argwhere(label == SPINE_VALUES[disc.name])
            lower, upper = exam.spine.vertebrae[level - 1], exam.spine.vertebrae[level]
            if len(voxels) < 30 or sum(lower.crush):
                continue
            over, under = in_frame(exam, lower, voxels)[:, 2], in_frame(exam, upper, voxels)[:, 2]
            assert np.mean(over > 0) > 0.99
            assert np.mean(under < 0) > 0.99
            seen += 1
    assert seen > 15


def test_every_value_is_of_the_scheme_and_fused_discs_are_bone(exams) -> None:  # type: ignore[no-untyped-def]
    for exam, _, label in exams:
        names = {v.name for v in exam.spine.vertebrae} | {d.name for d in exam.spine.discs if not d.fused}
        allowed = {SPINE_VALUES[name] for name in names | {"background", "S", "canal", "cord", "rib"}}
        assert set(np.unique(label).tolist()) <= allowed


def test_ribs_lie_beside_thoracic_vertebrae_and_above_the_middle_of_l1(exams) -> None:  # type: ignore[no-untyped-def]
    beside = 0
    for exam, _, label in exams:
        voxels = np.argwhere(label == SPINE_VALUES["rib"])
        for vertebra in exam.spine.vertebrae if len(voxels) else ():
            a, b, u = in_frame(exam, vertebra, voxels).T
            if vertebra.name == "L1":
                assert u.min() > 0
            # A head lies beside the disc above, or the body's upper edge.
            head = (np.abs(np.abs(a) - 0.34 * vertebra.width) < 6) & (np.abs(b - vertebra.depth / 2 + 7) < 6)
            near = head & (np.abs(u - 0.5 * vertebra.height) < 6)
            assert not near.any() or vertebra.name.startswith("T")
            beside += near.any()
    assert beside > 5


def test_the_cord_ends_at_the_conus_and_lies_in_the_canal(exams) -> None:  # type: ignore[no-untyped-def]
    for exam, _, label in exams:
        cord = label == SPINE_VALUES["cord"]
        if not cord.any():
            continue
        around = ndimage.binary_dilation(cord, np.ones((1, 3, 3))) & ~cord
        assert np.mean(label[around] == SPINE_VALUES["canal"]) > 0.95
        rows = np.nonzero(cord)[1]
        lowest = exam.spine.curve[np.searchsorted(exam.spine.arc, exam.spine.conus), 2]
        low = rows.max() - (label.shape[1] - 1) / 2
        z = exam.scan.centre[2] + low * exam.scan.spacing[1] * exam.scan.turn[1, 2]
        assert z > lowest - 25


def mean_signals(contrast: str, number: int) -> dict[str, float]:
    """Mean signal of cerebrospinal fluid, marrow, disc and the fat under the skin, without the coil."""
    exam = Exam(11, 0, number, options=PhantomOptions(contrast, "lumbar", 0.3, "spine"))  # type: ignore[arg-type]
    from spine_ignite.phantom.tissues import Tissue

    return {tissue.name: float(exam.signals.mean[tissue]) for tissue in Tissue}


@pytest.mark.parametrize("number", range(12))
def test_contrasts_rank_tissues_as_scanners_do(number: int) -> None:
    """T1: fat over muscle over fluid; T2: fluid over cord over muscle; STIR, water: fat is dark; bone is dark."""
    t1, t2 = mean_signals("t1", number), mean_signals("t2", number)
    assert t1["FAT"] > t1["MUSCLE"] > t1["CSF"]
    assert t1["FAT"] > t1["MARROW"] > t1["ANNULUS"]
    assert t2["CSF"] > t2["CORD"] > t2["MUSCLE"]
    assert t2["CSF"] > t2["NUCLEUS"] > t2["WORN"] > t2["CORTEX"]
    stir, water, pd = (mean_signals(contrast, number) for contrast in ("stir", "water", "pd"))
    assert stir["CSF"] > stir["MUSCLE"] > stir["FAT"]
    assert min(water["CSF"], water["MARROW"], water["MUSCLE"]) > water["FAT"]
    for signals in (t1, t2, stir, water, pd):
        assert signals["AIR"] == 0
        assert signals["CORTEX"] < min(signals["MARROW"], signals["MUSCLE"])


def test_views_are_cut_anywhere_and_labels_end_at_the_border(exams) -> None:  # type: ignore[no-untyped-def]
    shapes = {exam.scan.size[1:] for exam, _, _ in exams}
    assert len(shapes) == len(exams)
    levels = [len({*np.unique(label).tolist()} & set(range(2, 21))) for _, _, label in exams]
    assert min(levels) >= 4
    assert max(levels) > min(levels) + 2
    assert len({round(exam.scan.spacing[1], 2) for exam, _, _ in exams}) > 4
    cut = [
        np.isin(label[:, 0], range(2, 42)).any() or np.isin(label[:, -1], range(1, 42)).any() for _, _, label in exams
    ]
    assert sum(cut) > len(exams) / 2


def test_brightness_in_the_image_follows_the_contrast() -> None:
    """In a T1-weighted image fluid is darker than marrow, in a T2-weighted one brighter."""
    for contrast, brighter in (("t1", False), ("t2", True)):
        options = PhantomOptions(contrast, "lumbar", 0.0, "spine")  # type: ignore[arg-type]
        image, label = Exam(3, 0, 1, num_slices=5, options=options).slice(2)
        fluid = image[label == SPINE_VALUES["canal"]]
        marrow = image[np.isin(label, range(3, 8))]
        assert (np.median(fluid) > np.median(marrow)) == brighter
