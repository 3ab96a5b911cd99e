"""Runs whose channels are several contrasts of an exam: trained, resumed, judged, used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

import spine_ignite
from spine_ignite.config import RunConfig, load_config
from spine_ignite.datasets.split import read_split
from spine_ignite.errors import DataError, RunError, UsageError
from spine_ignite.evaluation.judge import evaluate
from spine_ignite.inference.exam_files import exams_of
from spine_ignite.inference.export import export_run
from spine_ignite.inference.inputs import case_jobs
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predict_files import predict_files
from spine_ignite.inference.predictor import load_predictor
from spine_ignite.runs.checkpoints import load_network
from spine_ignite.runs.description import Description
from spine_ignite.runs.transfer import transfer
from spine_ignite.slices.build import build_store
from spine_ignite.training.run import resume, train

Stopped = Callable[[int], AbstractContextManager[None]]


def config(root: Path, *overrides: str) -> RunConfig:
    base = ["data.scheme=lumbar-vertebrae", "data.contrasts=[t1,t2]", "data.batch_size=3", "model.width=4"]
    base += ["model.depth=3", "train.epochs=2", "precision=fp32", "threads=1", "log.tensorboard=false"]
    return load_config(None, [f"data.root={root}", *base, *overrides])


def quiet(_line: str) -> None:
    pass


@pytest.fixture
def run(two_contrasts: Path, tmp_path: Path) -> Path:
    train(config(two_contrasts, "data.context_slices=1", "augment.drop_contrast.p=0.3"), tmp_path / "run", echo=quiet)
    return tmp_path / "run"


def test_a_run_says_what_its_channels_are_and_which_contrasts_are_missing(two_contrasts: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    train(config(two_contrasts, "data.context_slices=1", "log.volumes_every=2"), tmp_path / "run", echo=lines.append)
    text = "\n".join(lines)
    assert "6 input channels (t1, t2), 8 classes" in text
    assert "lacks the contrast t1, which is 0 there: Case3" in text
    description = load_network(tmp_path / "run" / "checkpoints" / "best.pt", torch.device("cpu")).description
    assert (description.contrasts, description.in_channels, description.context_slices) == (("t1", "t2"), 6, 1)
    assert len(list((tmp_path / "run" / "predictions" / "epoch_2").iterdir())) == 1
    recorded = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert recorded["contrasts"] == {"data.root": {"by": "names"}}


def test_a_contrast_that_no_training_case_has_is_refused(two_contrasts: Path, tmp_path: Path) -> None:
    source = two_contrasts / "test" / "source"
    shutil.copy(source / "Case6_t1.nii.gz", source / "Case6_pd.nii.gz")  # those of the test cases teach nothing
    image = nib.load(source / "Case6_pd.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) + 1, image.affine), source / "Case6_pd.nii.gz")
    with pytest.raises(DataError, match=r"no training case has the contrast pd \(Case\d"):
        train(config(two_contrasts, "data.contrasts=[t1,t2,pd]"), tmp_path / "run", echo=quiet)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_training_case_of_a_table_without_a_mask_is_refused(two_contrasts: Path, tmp_path: Path) -> None:
    rows = [f"{n},t1,train/source/Case{n}_t1.nii.gz,train/label/mask_case{n}.nii.gz,train" for n in (1, 2)]
    rows += [f"4,{name},train/source/Case4_{name}.nii.gz,,train" for name in ("t1", "t2")]
    (two_contrasts / "contrasts.csv").write_text("\n".join(["case,contrast,image,mask,split", *rows]))
    with pytest.raises(DataError, match=r"training case 4 has no mask; add one, make it a test case, or leave it out"):
        train(config(two_contrasts), tmp_path / "run", echo=quiet)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_resumed_run_leaves_out_the_same_contrasts_bit_for_bit(
    two_contrasts: Path, tmp_path: Path, stopped: Stopped
) -> None:
    settings = config(two_contrasts, "augment.drop_contrast.p=0.5", "train.epochs=3")
    train(settings, tmp_path / "whole", echo=quiet)
    with stopped(7):
        train(settings, tmp_path / "parts", echo=quiet)
    resume(tmp_path / "parts", echo=quiet)
    whole, parts = (
        torch.load(tmp_path / name / "checkpoints" / "last.pt", weights_only=True)["model"]
        for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    other = config(two_contrasts, "augment.drop_contrast.p=0", "train.epochs=3")
    train(other, tmp_path / "other", echo=quiet)
    without = torch.load(tmp_path / "other" / "checkpoints" / "last.pt", weights_only=True)["model"]
    assert not all(torch.equal(whole[name], without[name]) for name in whole)


def test_a_run_notices_that_another_contrast_has_changed(two_contrasts: Path, run: Path) -> None:
    trained = read_split(run / "split.json").training[0]
    path = two_contrasts / "train" / "source" / f"{trained.name}_t1.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) + 1, image.affine), path)
    with pytest.raises(DataError, match=rf"another image has {trained.name}"):
        resume(run, ["train.epochs=3"], echo=quiet)


def test_evaluation_shows_both_contrasts_and_does_without_one(two_contrasts: Path, run: Path) -> None:
    summary = evaluate(run, options=InferenceOptions(device="cpu"), echo=quiet)
    assert sorted(result.case for result in summary.cases) == ["Case6", "Case7"]
    made = {path.stem: json.loads(path.read_text()) for path in (run / "predictions" / "test").glob("*.json")}
    assert list(made["Case6"]["contrasts"]) == ["t1", "t2"]
    assert list(made["Case7"]["contrasts"]) == ["t1"]
    label = nib.load(run / "predictions" / "test" / "Case6.nii.gz")
    image = nib.load(two_contrasts / "test" / "source" / "Case6_t1.nii.gz")
    assert label.shape == image.shape
    np.testing.assert_allclose(label.affine, image.affine)


def test_predictions_are_not_those_of_another_second_contrast(two_contrasts: Path, run: Path, tmp_path: Path) -> None:
    settings = config(two_contrasts)
    from spine_ignite.datasets.sources import find_configured

    cases = find_configured(settings.data).split("test")
    predictor = load_predictor(run, InferenceOptions(device="cpu"))
    jobs, exams = case_jobs(cases, tmp_path / "labels"), exams_of(cases)
    assert [output.name for _, output in jobs] == ["Case6.nii.gz", "Case7.nii.gz"]
    assert all(result.error is None for result in predict_files(predictor, jobs, exams=exams))
    again = predict_files(predictor, jobs, exams=exams, skip_existing=True)
    assert all(result.skipped for result in again)
    other = two_contrasts / "test" / "source" / "Case6_t2.nii.gz"
    shutil.copy(two_contrasts / "train" / "source" / "Case1_t2.nii.gz", other)
    first, second = predict_files(predictor, jobs, exams=exams, skip_existing=True)
    assert "is of another image than this one" in (first.error or "")
    assert second.skipped
    # The same t1 image gives other labels with another t2 image, and is refused as an image that is nobody knows what.
    (alone, _) = predict_files(predictor, [(jobs[0][0], tmp_path / "more" / "a.nii.gz"), jobs[1]])
    assert "it is not said which one" in (alone.error or "")


def test_a_run_without_contrasts_takes_one_image(
    two_contrasts: Path, tmp_path: Path, write_run: Callable[..., Path]
) -> None:
    plain = load_predictor(write_run(tmp_path / "plain"), InferenceOptions(device="cpu"))
    from spine_ignite.datasets.sources import find_configured

    cases = find_configured(config(two_contrasts).data).split("test")
    found = predict_files(plain, case_jobs(cases, tmp_path / "labels"), exams=exams_of(cases))
    assert "the network sees one image and not several contrasts" in (found[0].error or "")


def _described(contrasts: tuple[str, ...], context: int) -> Description:
    from spine_ignite.labels import load_scheme

    channels = max(1, len(contrasts)) * (1 + 2 * context)
    scheme, options = load_scheme("lumbar-vertebrae"), {"width": 4, "depth": 2}
    return Description("unet", options, channels, scheme, (1, 1), (0.5, 99.5), context, (64, 64), contrasts=contrasts)


@pytest.mark.parametrize(
    ("before", "after", "shares"),
    [
        ((), ("t1", "t2"), [[0.5], [0.5]]),
        (("t1", "t2"), ("t2", "t1"), [[0, 1], [1, 0]]),
        (("t1",), ("t1", "t2"), [[1], [0]]),
        (("t1", "t2"), ("t2",), [[0, 1]]),
        (("t1", "t2"), (), [[1, 1]]),
    ],
)
def test_weights_go_to_the_contrast_of_their_name(
    before: tuple[str, ...], after: tuple[str, ...], shares: list[list[float]]
) -> None:
    from spine_ignite.models import create_model

    source, target = _described(before, 0), _described(after, 1)
    given: dict[str, Any] = create_model("unet", source.in_channels, 8, **source.options).state_dict()
    own: dict[str, Any] = create_model("unet", target.in_channels, 8, **target.options).state_dict()
    found = transfer(given, source, Path("a"), own, target, Path("b"))
    (name,) = found.by_channel
    weights = found.weights[name].unflatten(1, (max(1, len(after)), 3))
    expected = torch.einsum("ts,oshw->othw", torch.tensor(shares, dtype=torch.float32), given[name])
    torch.testing.assert_close(weights[:, :, 1], expected)
    assert not weights[:, :, [0, 2]].any()


def test_a_checkpoint_of_other_contrasts_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"its contrasts is \['t2', 't1'\], the run's is \['t1', 't2'\]"):
        _described(("t1", "t2"), 0).require_same(_described(("t2", "t1"), 0), tmp_path)
    state = _described(("t1", "t2"), 1).state_dict()
    assert Description.from_state(state, tmp_path).contrasts == ("t1", "t2")
    assert "contrasts" not in _described((), 1).state_dict()
    with pytest.raises(RunError, match=r"in_channels is 6, but context_slices 1 gives 3"):
        Description.from_state({**state, "contrasts": []}, tmp_path)


def test_a_dataset_whose_images_are_all_of_one_contrast_is_told(two_contrasts: Path) -> None:
    for path in two_contrasts.rglob("*_t2.nii.gz"):
        path.unlink()
    (two_contrasts / "train" / "label" / "mask_case3.nii.gz").unlink()
    result = build_store(config(two_contrasts).data)
    assert any("6 of 6 cases" in note and "lack the contrast t2" in note for note in result.notes)


@pytest.mark.parametrize("suffix", ["safetensors", "pt2", "onnx"])
def test_an_exported_network_keeps_its_contrasts(two_contrasts: Path, run: Path, tmp_path: Path, suffix: str) -> None:
    if suffix == "onnx":
        pytest.importorskip("onnxscript")
    formats = {"safetensors": "safetensors", "pt2": "torch-export", "onnx": "onnx"}
    out = tmp_path / f"network.{suffix}"
    exported = export_run(run, out, file_format=formats[suffix])  # type: ignore[arg-type]
    assert exported.compared.batches[0][1] == 6
    if suffix == "safetensors":
        assert exported.compared.difference == 0
    if suffix == "pt2":
        return  # a program for others, which is not predicted with
    exam = {name: two_contrasts / "test" / "source" / f"Case6_{name}.nii.gz" for name in ("t1", "t2")}
    found, expected = (
        spine_ignite.predict(source, exam, device="cpu", precision="fp32").get_fdata() for source in (out, run)
    )
    assert (found == expected).mean() > 0.999
    with pytest.raises(UsageError, match=r"it is not said which one"):
        spine_ignite.predict(out, exam["t1"])


def test_an_exam_that_was_trained_on_is_known_by_any_of_its_images(
    two_contrasts: Path, run: Path, tmp_path: Path
) -> None:
    split = read_split(run / "split.json")
    trained = next(case for case in split.training if case.others)
    description = load_network(run / "checkpoints" / "best.pt", torch.device("cpu")).description
    assert set(trained.seen) <= set(description.images or ())
    assert "others" not in json.loads((run / "split.json").read_text())["test"][1]
    elsewhere = tmp_path / "elsewhere"
    names = [trained.name, "Case6"]
    for name in names:  # the t2 images alone, under other names, with a mask on their grid
        part = "train" if name == trained.name else "test"
        image = nib.load(two_contrasts / part / "source" / f"{name}_t2.nii.gz")
        for folder in ("source", "label"):
            (elsewhere / "train" / folder).mkdir(parents=True, exist_ok=True)
        nib.save(image, elsewhere / "train" / "source" / f"new{name}_t2.nii.gz")
        mask = (np.asarray(image.dataobj) > 150).astype(np.uint8) * 3
        nib.save(nib.Nifti1Image(mask, image.affine), elsewhere / "train" / "label" / f"mask_new{name}.nii.gz")
    summary = evaluate(run, data=elsewhere, out=tmp_path / "out", options=InferenceOptions(device="cpu"), echo=quiet)
    assert [result.case for result in summary.cases] == ["newCase6"]
