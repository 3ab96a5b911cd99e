"""Training from another network's weights, on a tiny dataset."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import DataError, RunError
from spine_ignite.evaluation.judged_cases import judged_cases
from spine_ignite.inference.export import export_run
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.training.run import RunResult, resume, train
from spine_ignite.volumes.digests import file_sha256

Stopped = Callable[[int], AbstractContextManager[None]]


def config(root: Path, *overrides: str) -> RunConfig:
    base = ["data.scheme=lumbar-vertebrae", "data.batch_size=3", "model.width=4", "model.depth=3", "train.epochs=1"]
    machine = ["train.ema=0.9", "precision=fp32", "threads=1", "log.tensorboard=false", "log.doctor=false"]
    return load_config(None, [f"data.root={root}", *base, *machine, *overrides])


def quiet(_line: str) -> None:
    pass


def begin(settings: RunConfig, out: Path, **how: Any) -> tuple[RunResult, str]:
    lines: list[str] = []
    result = train(settings, out, echo=lines.append, **how)
    return result, "\n".join(lines)


def saved(run: Path, name: str = "last") -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run / "checkpoints" / f"{name}.pt", weights_only=True)
    return content


def halves(dataset: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The dataset as two, of two training cases and a test case each."""
    found = []
    for number, cases in enumerate(((1, 2, 5), (3, 4, 6))):
        root = tmp_path / f"half{number}"
        for case in cases:
            part = "test" if case > 4 else "train"
            for file in (dataset / part).glob(f"*/*ase{case}.nii.gz"):
                target = root / file.relative_to(dataset)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
        found.append(root)
    return found[0], found[1]


def test_a_run_begins_with_the_weights_of_another_and_so_do_its_averages(
    tiny_dataset: Path, tmp_path: Path, stopped: Stopped
) -> None:
    one, two = halves(tiny_dataset, tmp_path)
    first = train(config(one, "data.validation=0.5"), tmp_path / "first", echo=quiet).directory
    settings = config(
        two, "data.validation=0.5", f"train.start_from={first}", "optimizer.lr=1e-30", "schedule.warmup=0"
    )
    second, told = begin(settings, tmp_path / "second")
    assert (
        f"Start:     100.0 % of the weights are those of {first / 'checkpoints' / 'best.pt'} (unet, trained on" in told
    )
    source, weights = saved(first, "best")["model"], saved(second.directory)
    for name, value in source.items():
        if "running" not in name and "batches" not in name:  # which a step of training renews
            torch.testing.assert_close(weights["model"][name], value)
            torch.testing.assert_close(weights["ema"][name], value)
    recorded = load_config(second.directory / "config.yaml").train.start_from
    assert recorded is not None
    assert recorded.sha256 == file_sha256(first / "checkpoints" / "best.pt")
    assert Path(recorded.source) == first
    record = json.loads((second.directory / "start.json").read_text())
    assert (record["share"], record["left"], record["sha256"]) == (1.0, {}, recorded.sha256)
    seen = [set(saved(run)["description"]["images"]) for run in (first, second.directory)]
    assert seen[0] < seen[1], "what the first has seen the second has seen too"

    third = load_config(second.directory / "config.yaml", ["train.epochs=3", "optimizer.lr=1e-3"])
    whole = train(third, tmp_path / "whole", echo=quiet).directory
    with stopped(2):
        train(third, tmp_path / "parts", echo=quiet)
    shutil.rmtree(first)
    resume(tmp_path / "parts", echo=quiet)
    for part in ("model", "ema"):
        assert all(torch.equal(value, saved(tmp_path / "parts")[part][k]) for k, value in saved(whole)[part].items())
    assert saved(tmp_path / "parts")["description"]["images"] == saved(whole)["description"]["images"]
    with pytest.raises(RunError, match=r"first is not a run directory, nor a file of weights or a published network\."):
        train(third, tmp_path / "fourth", echo=quiet)
    assert not (tmp_path / "fourth").exists()


def test_what_was_trained_on_the_cases_that_judge_is_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    """By the images themselves, whatever their files are called, and through every network that came in between."""
    one, two = halves(tiny_dataset, tmp_path)
    first = train(config(one, "data.validation=0"), tmp_path / "first", echo=quiet).directory
    second = train(config(two, "data.validation=0", f"train.start_from={first}"), tmp_path / "second", echo=quiet)
    exported = export_run(second.directory, tmp_path / "second.safetensors").path
    other = tmp_path / "other"
    shutil.copytree(two, other)
    for file in (one / "train").rglob("*Case1.nii.gz"):
        shutil.copy(file, other / "test" / "source" / "Case9.nii.gz")
    for file in (one / "train").rglob("*case1.nii.gz"):
        shutil.copy(file, other / "test" / "label" / "mask_case9.nii.gz")
    for source in (first, second.directory, exported):
        message = r"\(train.start_from\) was trained on images that this run is judged by: .*Case9 \(test\); start"
        with pytest.raises(DataError, match=message):
            train(config(other, f"train.start_from={source}"), tmp_path / "third", echo=quiet)
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["Case3", "Case4"], "val": ["Case1", "Case2"]}))
    settings = config(tiny_dataset, f"data.split={split}", f"train.start_from={second.directory}")
    with pytest.raises(DataError, match=r"judged by: Case1 \(validation\), Case2 \(validation\); start"):
        train(settings, echo=quiet)
    assert not (tmp_path / "third").exists()


def test_a_file_that_was_replaced_or_does_not_say_what_it_has_seen_is_refused(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    first = train(config(tiny_dataset), tmp_path / "first", echo=quiet).directory
    best = first / "checkpoints" / "best.pt"
    wrong = load_config(config(tiny_dataset), {"train.start_from": {"source": str(best), "sha256": 64 * "0"}})
    with pytest.raises(RunError, match=r"best.pt is not the file that train.start_from records \(its SHA-256 is "):
        train(wrong, tmp_path / "second", echo=quiet)
    content = saved(first, "best")
    del content["description"]["images"]
    torch.save(content, best)
    second, _ = begin(config(tiny_dataset, f"train.start_from={first}"), tmp_path / "second")  # split.json knows
    assert len(saved(second.directory)["description"]["images"]) == 3
    shutil.copy(best, tmp_path / "old.pt")
    with pytest.raises(RunError, match="old.pt is of an older version and does not say which images it was trained on"):
        train(config(tiny_dataset, f"train.start_from={tmp_path / 'old.pt'}"), tmp_path / "third", echo=quiet)


def test_a_published_network_is_recorded_by_its_name(
    tiny_dataset: Path, tmp_path: Path, install: Callable[..., Path]
) -> None:
    first = train(config(tiny_dataset, "data.validation=0"), tmp_path / "first", echo=quiet).directory
    file = export_run(first, tmp_path / "acme.safetensors", half=True).path
    install("acme-nets", register_networks=[f"Component('acme', {str(file)!r}, 'A network of Acme')"])
    one, two = halves(tiny_dataset, tmp_path)
    second, told = begin(config(two, "data.validation=0", "train.start_from=acme"), tmp_path / "second")
    assert f"100.0 % of the weights are those of {file}" in told
    start = load_config(second.directory / "config.yaml").train.start_from
    assert start is not None
    assert (start.source, start.sha256) == ("acme", file_sha256(file))
    with pytest.raises(DataError, match=r"acme.safetensors \(train.start_from\) was trained on images that this run"):
        train(config(one, "data.validation=0.5", "train.start_from=acme"), tmp_path / "third", echo=quiet)


def test_other_classes_and_channels_are_told(tiny_dataset: Path, tmp_path: Path) -> None:
    first = train(config(tiny_dataset), tmp_path / "first", echo=quiet).directory
    changes = ["data.scheme=mrspineseg", "data.context_slices=1", f"train.start_from={first}", "model.depth=2"]
    _, told = begin(config(tiny_dataset, *changes), tmp_path / "second")
    assert "classes known there: L5, L4, L3, L2, L1, T12 and 1 more; new: S, T10, T9" in told
    assert "it has 1 input channel; fitted: encoder.0.0.0.weight" in told
    assert "not taken: up.0.weight, it has another size (16 x 8 x 2 x 2)" in told
    classes = json.loads((tmp_path / "second" / "start.json").read_text())["classes"]
    assert (classes["unused"], classes["known"][:2]) == ([], ["background", "L5"])
    other = {**config(tiny_dataset, f"train.start_from={first}").model_dump(), "model": {"name": "enet"}}
    with pytest.raises(RunError, match=r"nothing of .*best.pt \(unet\) fits the run's enet: no weight has the same"):
        train(load_config(other), tmp_path / "third", echo=quiet)


def test_what_is_frozen_stays_as_it_is(tiny_dataset: Path, tmp_path: Path) -> None:
    """Weights and running statistics; the rest is trained."""
    first = train(config(tiny_dataset), tmp_path / "first", echo=quiet).directory
    settings = config(tiny_dataset, f"train.start_from={first}", "train.freeze=[encoder]", "train.ema=null")
    second, told = begin(settings, tmp_path / "second")
    assert "Frozen:    encoder" in told
    assert re.search(r"Model:     unet, [\d,]+ parameters of which [\d,]+ are trained, 1 input channel", told)
    assert "Warning" not in told
    before, after = saved(first, "best")["model"], saved(second.directory)["model"]
    changed = {name.partition(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"up", "decoder", "head"}


def test_what_is_frozen_though_it_was_not_taken_is_told(tiny_dataset: Path, tmp_path: Path) -> None:
    """Such weights stay as they were drawn; classes that the other network does not know are rows of the head."""
    first = train(config(tiny_dataset), tmp_path / "first", echo=quiet).directory
    changes = [f"train.start_from={first}", "train.freeze=[encoder]", "model.width=8"]
    _, told = begin(config(tiny_dataset, *changes), tmp_path / "wider")
    assert "Warning:   train.freeze keeps what train.start_from does not give, as it was drawn at random: enc" in told
    changes = [f"train.start_from={first}", "train.freeze=[head]", "data.scheme=mrspineseg"]
    _, told = begin(config(tiny_dataset, *changes), tmp_path / "classes")
    assert "as it was drawn at random: head.weight, head.bias; freeze less" in told


def test_a_run_is_not_judged_on_what_the_network_before_it_has_seen(tiny_dataset: Path, tmp_path: Path) -> None:
    """Its own split does not know of these images; whoever evaluates it on another dataset would."""
    first, second = halves(tiny_dataset, tmp_path)
    before = train(config(first, "data.validation=0"), tmp_path / "before", echo=quiet).directory
    run = train(config(second, f"train.start_from={before}"), tmp_path / "run", echo=quiet).directory
    source = first / "train" / "source"
    shutil.rmtree(first / "test")
    shutil.copy(tiny_dataset / "test" / "source" / "Case5.nii.gz", source)
    shutil.copy(tiny_dataset / "test" / "label" / "mask_case5.nii.gz", first / "train" / "label")
    judged = judged_cases([RunDirectory(run)], "test", first)
    assert [case.name for case in judged.cases] == ["Case5"]
    assert judged.notes == (
        "left out, since the run, or the network that it started from, was trained or validated on their images: "
        "Case1, Case2",
    )
