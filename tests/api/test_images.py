from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation

import spine_ignite
from spine_ignite.errors import DataError, RunError, UsageError

ORIENTATIONS = [
    "".join(codes) for order in itertools.permutations(("RL", "AP", "SI")) for codes in itertools.product(*order)
]
Writer = Callable[..., Path]


def voxels(image: nib.Nifti1Image) -> np.ndarray:
    return np.asanyarray(image.dataobj)


def test_in_every_orientation_an_image_in_memory_is_labelled_as_its_file(
    write_volume: Writer, write_run: Writer, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run")
    rng = np.random.default_rng(3)
    paths = []
    for axes in ORIENTATIONS:
        array = rng.integers(0, 900, (24, 21, 6)).astype(np.int16)
        paths.append(write_volume(tmp_path / "in" / f"{axes}.nii.gz", array, (1, 1.2, 4), axes))
    files = spine_ignite.predict(str(run), [str(path) for path in paths], str(tmp_path / "out"), device="cpu")
    written = [nib.load(file.output) for file in files]
    assert len(written) == 48
    assert sum(len(np.unique(voxels(image))) > 1 for image in written) > 20
    loaded = [nib.load(path) for path in paths]
    pairs = [(voxels(image), image.affine) for image in loaded]
    others = [sitk.ReadImage(str(path)) for path in paths]
    for images in (loaded, paths):
        for found, image in zip(spine_ignite.predict(run, images, device="cpu"), written, strict=True):
            assert np.array_equal(voxels(found), voxels(image))
            assert np.array_equal(found.affine, image.affine)
    for found, image in zip(spine_ignite.predict(run, pairs, device="cpu"), written, strict=True):
        assert found.dtype == np.uint8
        assert np.array_equal(found, voxels(image))
    for number, found in enumerate(spine_ignite.predict(run, others, device="cpu")):
        assert np.array_equal(sitk.GetArrayFromImage(found).T, voxels(written[number]))
        assert found.GetDirection() == others[number].GetDirection()


def test_label_volumes_of_any_kinds_are_judged_by_each_other(write_volume: Writer, tmp_path: Path) -> None:
    truth = np.zeros((12, 12, 4), np.uint8)
    truth[2:10, 2:6], truth[2:10, 7:11] = 2, 3
    found = np.where(np.arange(12)[:, None, None] < 6, truth, 0).astype(np.uint8)  # one half of each
    paths = [write_volume(tmp_path / name / "Case1.nii.gz", array) for name, array in (("a", found), ("b", truth))]
    prediction, reference = (nib.load(path) for path in paths)
    turned = np.flip(truth.transpose(2, 0, 1), 1)  # the same mask, stored otherwise
    affine = reference.affine @ np.array([[0, -1, 0, 11], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    for one, other in (
        (prediction, reference),
        (paths[0], str(paths[1])),
        (sitk.ReadImage(str(paths[0])), (turned, affine)),
        ((found, reference.affine), reference),
    ):
        summary = spine_ignite.evaluate(one, other, scheme="lumbar-vertebrae")
        assert {c.label: c.means["dice"] for c in summary.classes} == pytest.approx({"L5": 2 / 3, "L4": 2 / 3})
    folders = spine_ignite.evaluate(str(tmp_path / "a"), tmp_path / "b", scheme="lumbar-vertebrae")
    both = spine_ignite.evaluate([prediction, reference], [reference, reference], scheme="lumbar-vertebrae")
    assert folders.means["dice"] == pytest.approx(2 / 3)
    assert [case.dice for case in both.cases] == pytest.approx([2 / 3, 1])
    with pytest.raises(UsageError, match="prediction is an array without an affine"):
        spine_ignite.evaluate(found, reference)
    with pytest.raises(UsageError, match="1 label volumes cannot be judged by 2 references"):
        spine_ignite.evaluate([prediction], [reference, reference])
    with pytest.raises(UsageError, match="without a reference it is a run that is judged"):
        spine_ignite.evaluate(prediction)
    with pytest.raises(DataError, match="shape"):
        spine_ignite.evaluate(nib.Nifti1Image(found[:6], prediction.affine), reference)


def test_what_a_user_gets_wrong_is_said_in_a_sentence(write_run: Writer, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    image = (np.zeros((3, 4, 5)), np.diag([-1.0, 1, 1, 1]))
    with pytest.raises(UsageError, match=r"there is no option 'devise'. Did you mean 'device'\?"):
        spine_ignite.predict(run, image, devise="cpu")
    with pytest.raises(UsageError, match="what is in memory has no name to be written under"):
        spine_ignite.predict(run, image, tmp_path / "out")
    with pytest.raises(UsageError, match="is a folder; give the folder out"):
        spine_ignite.predict(run, tmp_path)
    with pytest.raises(UsageError, match="give the folder out to write them into"):
        spine_ignite.predict(run, image, skip_existing=True)
    with pytest.raises(RunError, match="not a run directory"):
        spine_ignite.predict(str(tmp_path / "no"), image)
    with pytest.raises(UsageError, match="image 2 is neither a file nor an image"):
        spine_ignite.predict(run, [nib.Nifti1Image(np.ones((9, 9, 5), np.int16), PLACED), None], device="cpu")


PLACED = np.array([[0, 0, 4, 3], [-1, 0, 0, 2], [0, 1, 0, 1], [0, 0, 0, 1.0]])


def test_a_list_of_runs_is_an_ensemble(write_volume: Writer, write_run: Writer, tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    image = write_volume(tmp_path / "a.nii.gz", np.random.default_rng(3).integers(0, 900, (24, 21, 6)).astype(np.int16))
    together = spine_ignite.predict(runs, image, device="cpu")
    first = spine_ignite.predict(runs[0], image, device="cpu", ensemble=str(runs[1]))
    assert np.array_equal(voxels(together), voxels(first))
    assert not np.array_equal(voxels(together), voxels(spine_ignite.predict(runs[0], image, device="cpu")))
    with pytest.raises(UsageError, match="a run is the name of its directory"):
        spine_ignite.predict([], image)
