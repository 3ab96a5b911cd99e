from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation
import torch
from scipy.stats import entropy

from spine_ignite.errors import RunError, UsageError
from spine_ignite.inference.inputs import collect_jobs
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predict_files import Extras, Prediction, predict, predict_files
from spine_ignite.inference.predictor import load_predictor
from spine_ignite.inference.records import is_made_by_hand
from spine_ignite.labels import load_scheme
from spine_ignite.locks import lock_folder

Writer = Callable[..., Path]
RunWriter = Callable[..., Path]
MAPS = Extras(probabilities=True, uncertainty=True)


def segment(run: Path, source: Path, out: Path, *ensemble: Path, **options: Any) -> Prediction:
    rest = {name: options.pop(name) for name in ("extras", "skip_existing") if name in options}
    chosen = InferenceOptions(ensemble=ensemble, precision="fp32", device="cpu", **options)
    (result,) = predict(run, collect_jobs([source], out), options=chosen, **rest)
    return result


def voxels(path: Path) -> Any:
    return np.asarray(nib.load(path).dataobj)


@pytest.fixture
def scan(tmp_path: Path, write_volume: Writer) -> Path:
    array = np.random.default_rng(0).normal(100, 30, (70, 80, 5)).astype(np.int16)
    return write_volume(tmp_path / "scan.nii.gz", array, spacing=(0.8, 0.9, 4))


@pytest.mark.parametrize("axes", ["PSR", "LAS"])
def test_maps_agree_with_the_labels_and_lie_on_their_grid(
    tmp_path: Path, write_run: RunWriter, write_volume: Writer, axes: str
) -> None:
    shape = (70, 80, 5) if axes == "PSR" else (5, 70, 80)
    spacing = (0.8, 0.9, 4) if axes == "PSR" else (4, 0.8, 0.9)
    array = np.random.default_rng(0).normal(100, 30, shape).astype(np.int16)
    source = write_volume(tmp_path / "scan.nii.gz", array, spacing, axes)
    out = tmp_path / "out"
    assert segment(write_run(tmp_path / "run"), source, out, extras=MAPS, tta=True).error is None
    labels, probabilities, uncertainty = (
        nib.load(out / part / "scan.nii.gz") for part in ("", "probabilities", "uncertainty")
    )
    for image in (labels, probabilities, uncertainty):
        np.testing.assert_array_equal(image.affine, nib.load(source).affine)
    values = np.array(load_scheme("lumbar-vertebrae").values)
    of = probabilities.get_fdata()
    assert of.shape == (*shape, 8)
    assert len(np.unique(np.asarray(labels.dataobj))) > 1, "otherwise the next line says little"
    np.testing.assert_array_equal(values[of.argmax(-1)], np.asarray(labels.dataobj))
    np.testing.assert_allclose(of.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(uncertainty.get_fdata(), entropy(of, axis=-1) / np.log(8), atol=1e-5)


def test_an_ensemble_writes_the_mean_of_what_its_members_write(
    tmp_path: Path, write_run: RunWriter, scan: Path
) -> None:
    runs = [
        write_run(tmp_path / "runs" / "a"),
        write_run(tmp_path / "runs" / "b", "data.context_slices=1", "data.spacing=[1.5,1.2]", seed=1),
    ]
    for name, run, others in (
        ("a", runs[0], []),
        ("b", runs[1], []),
        ("both", runs[0], [runs[1]]),
        ("folder", tmp_path / "runs", []),
        ("twice", runs[0], [runs[0]]),
    ):
        assert segment(run, scan, tmp_path / name, *others, extras=MAPS).error is None
    found = {
        name: voxels(tmp_path / name / "probabilities" / "scan.nii.gz")
        for name in ("a", "b", "both", "folder", "twice")
    }
    assert np.abs(found["a"] - found["b"]).max() > 0.1
    np.testing.assert_allclose(found["both"], np.mean([found["a"], found["b"]], 0), atol=1e-6)
    np.testing.assert_array_equal(found["folder"], found["both"])
    np.testing.assert_array_equal(found["twice"], found["a"])
    record = json.loads((tmp_path / "both" / "scan.json").read_text())
    assert [member["run"] for member in record["members"]] == [str(run) for run in runs]


def test_both_checkpoints_of_a_run_are_an_ensemble(tmp_path: Path, write_run: RunWriter, scan: Path) -> None:
    run = write_run(tmp_path / "run")
    for checkpoints in (("best",), ("last",), ("best", "last")):
        segment(run, scan, tmp_path / "-".join(checkpoints), checkpoints=checkpoints, extras=MAPS)
    best, last, both = (
        voxels(tmp_path / name / "probabilities" / "scan.nii.gz") for name in ("best", "last", "best-last")
    )
    np.testing.assert_allclose(both, (best + last) / 2, atol=1e-6)


def test_existing_labels_are_left_only_if_they_were_made_in_this_way(
    tmp_path: Path, write_run: RunWriter, scan: Path
) -> None:
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    label = out / "scan.nii.gz"
    segment(run, scan, out)
    before = label.stat().st_mtime_ns
    assert segment(run, scan, out, skip_existing=True, batch_size=2).skipped
    for changes in ({"tta": True}, {"window": (32, 32)}, {"postprocess": ("holes",)}, {"checkpoints": ("last",)}):
        result = segment(run, scan, out, skip_existing=True, **changes)
        assert result.error is not None
        assert "was made in another way" in result.error
    assert "(weights: see scan.json)" in (
        segment(run, scan, out, checkpoints=("last",), skip_existing=True).error or ""
    )
    assert label.stat().st_mtime_ns == before
    assert not segment(run, scan, out, skip_existing=True, extras=MAPS).skipped, "the maps are not there yet"
    assert segment(run, scan, out, skip_existing=True, extras=MAPS).skipped
    (out / "uncertainty" / "scan.nii.gz").write_bytes(b"damaged")
    assert not segment(run, scan, out, skip_existing=True, extras=MAPS).skipped
    assert segment(run, scan, out, skip_existing=True).skipped


def test_the_levels_lie_beside_the_labels_and_belong_to_them(tmp_path: Path, write_run: RunWriter, scan: Path) -> None:
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    assert segment(run, scan, out, postprocess=("levels",)).error is None
    said = json.loads((out / "scan.levels.json").read_text())
    assert (said["format"], said["scheme"], said["probabilities"]) == (1, "lumbar-vertebrae", True)
    assert said["column"]["verdict"] == "ask"
    assert not is_made_by_hand(out / "scan.levels.json")
    assert segment(run, scan, out, postprocess=("levels",), skip_existing=True).skipped
    (out / "scan.levels.json").unlink()
    assert not segment(run, scan, out, postprocess=("levels",), skip_existing=True).skipped
    assert (out / "scan.levels.json").is_file()


def test_labels_of_another_image_are_not_passed_off(tmp_path: Path, write_run: RunWriter, write_volume: Writer) -> None:
    """Exams are often called alike, each in its patient's folder."""
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    scans = [write_volume(tmp_path / f"sub-{n}" / "T2.nii.gz", np.full((20 + n, 30, 3), n, np.int16)) for n in range(2)]
    assert segment(run, scans[0], out, skip_existing=True).error is None
    before = (out / "T2.nii.gz").read_bytes()
    assert "is of another image than this one" in str(segment(run, scans[1], out, skip_existing=True).error)
    assert (out / "T2.nii.gz").read_bytes() == before
    assert segment(run, scans[0], out, skip_existing=True).skipped
    (out / "T2.nii.gz").write_bytes(before[:-20])
    assert not segment(run, scans[1], out, skip_existing=True).skipped
    assert voxels(out / "T2.nii.gz").shape == (21, 30, 3)
    write_volume(scans[1], np.full((21, 30, 3), 7, np.int16))
    assert "or of an earlier version of it" in str(segment(run, scans[1], out, skip_existing=True).error)


def test_the_record_names_the_weights_that_were_loaded(tmp_path: Path, write_run: RunWriter, scan: Path) -> None:
    """A training that goes on replaces its checkpoint while the network predicts."""
    run = write_run(tmp_path / "run")
    weights = hashlib.sha256((run / "checkpoints" / "best.pt").read_bytes()).hexdigest()
    predictor = load_predictor(run, InferenceOptions(device="cpu"))
    shutil.copy(run / "checkpoints" / "last.pt", run / "checkpoints" / "best.pt")
    predict_files(predictor, collect_jobs([scan], tmp_path / "out"))
    (member,) = json.loads((tmp_path / "out" / "scan.json").read_text())["members"]
    assert member["weights"] == weights


def test_one_file_never_stops_the_others(tmp_path: Path, write_run: RunWriter, scan: Path) -> None:
    """Whatever goes wrong, in reading, in the network or in writing, is that file's error."""
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    predictor = load_predictor(run, InferenceOptions(device="cpu", precision="fp32"))
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"broken")
    odd = tmp_path / "odd.xyz"
    shutil.copy(scan, odd)
    (out / "folder.nii.gz").mkdir(parents=True)
    jobs = [
        (broken, out / "broken.nii.gz"),
        (scan, out / "folder.nii.gz"),
        (scan, out / "odd.xyz"),
        (tmp_path / "none.nii.gz", out / "none.nii.gz"),
        (scan, out / "scan.nii.gz"),
    ]
    results = predict_files(predictor, jobs)
    assert [result.error is None for result in results] == [False] * 4 + [True]
    assert all(str(result.error).isprintable() for result in results)
    assert (out / "scan.nii.gz").is_file()


def test_an_error_of_a_library_is_told_with_its_file(tmp_path: Path, write_run: RunWriter, scan: Path) -> None:
    """A network of a plugin may raise what it likes."""

    class Picky(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            raise ValueError("only even\nsizes")

    predictor = load_predictor(write_run(tmp_path / "run"), InferenceOptions(device="cpu", precision="fp32"))
    (member,) = predictor.members
    predictor.members = [replace(member, trained=replace(member.trained, network=Picky()))]
    results = predict_files(predictor, collect_jobs([scan], tmp_path / "out"))
    assert results[0].error == f"{scan} cannot be used (ValueError: only even\\nsizes)"


def test_two_predictions_into_one_folder_do_not_mix(tmp_path: Path, write_run: RunWriter, scan: Path) -> None:
    out = tmp_path / "out"
    with lock_folder(out, "is predicting into it"), pytest.raises(RunError, match="out is in use"):
        segment(write_run(tmp_path / "run"), scan, out)
    assert not (out / "scan.nii.gz").exists()


def test_maps_of_a_metaimage_are_nifti_in_the_same_place(tmp_path: Path, write_run: RunWriter) -> None:
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(70, 66, 4)).astype(np.float32))
    image.SetSpacing((4.0, 0.9, 0.8))
    image.SetOrigin((5.0, -6.0, 7.0))
    sitk.WriteImage(image, str(tmp_path / "scan.mha"))
    assert segment(write_run(tmp_path / "run"), tmp_path / "scan.mha", tmp_path / "out", extras=MAPS).error is None
    label = sitk.ReadImage(str(tmp_path / "out" / "scan.mha"))
    uncertainty = sitk.ReadImage(str(tmp_path / "out" / "uncertainty" / "scan.nii.gz"))
    assert label.GetSize() == uncertainty.GetSize() == image.GetSize()
    corner = tuple(n - 1 for n in image.GetSize())
    for written in (label, uncertainty):
        np.testing.assert_allclose(
            written.TransformIndexToPhysicalPoint(corner), image.TransformIndexToPhysicalPoint(corner), atol=1e-4
        )


def test_inputs_whose_files_would_mix_are_refused(tmp_path: Path) -> None:
    for name in ("x.nii.gz", "x.mha"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match="predict them into two folders"):
        collect_jobs([tmp_path], tmp_path / "out")


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_an_image_that_does_not_say_how_it_is_oriented_needs_to_be_told(
    tmp_path: Path, write_run: RunWriter, scan: Path, suffix: str
) -> None:
    """Its labels are then those of the image that does, and lie where other programs see the image."""
    run, silent = write_run(tmp_path / "run"), tmp_path / f"silent{suffix}"
    image = nib.Nifti1Image(voxels(scan), np.diag([0.8, 0.9, 4, 1]))
    nib.save(image, tmp_path / "silent.nii.gz")
    sitk.WriteImage(sitk.ReadImage(tmp_path / "silent.nii.gz"), silent)
    refused = segment(run, silent, tmp_path / "out")
    assert "does not say how it is oriented" in str(refused.error)
    told = segment(run, silent, tmp_path / "out", orientation="PSR", extras=MAPS)
    assert told.error is None
    found = sitk.ReadImage(told.output)
    segment(run, scan, tmp_path / "out")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found).T, voxels(tmp_path / "out" / "scan.nii.gz"))
    source = sitk.ReadImage(silent)
    assert found.GetDirection() == pytest.approx(source.GetDirection())
    assert found.GetOrigin() == pytest.approx(source.GetOrigin())
    uncertainty = nib.load(tmp_path / "out" / "uncertainty" / "silent.nii.gz")
    np.testing.assert_allclose(uncertainty.affine, image.affine, atol=1e-6)
    again = segment(run, silent, tmp_path / "out", orientation="RAS", skip_existing=True)
    assert "was made in another way (orientation" in str(again.error)
