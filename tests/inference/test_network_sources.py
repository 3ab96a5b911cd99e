"""What predicts: runs, exported files, and networks that a plugin brings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spine_ignite.api.images import predict
from spine_ignite.errors import RunError, UsageError
from spine_ignite.evaluation.judge import evaluate
from spine_ignite.inference.export import export_run
from spine_ignite.inference.network_sources import find_runs, find_sources
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predictor import load_predictor

RunWriter = Callable[..., Path]
Writer = Callable[..., Path]
Install = Callable[..., Path]


def test_a_folder_of_runs_is_all_its_runs(tmp_path: Path, write_run: RunWriter) -> None:
    for fold in range(2):
        write_run(tmp_path / f"fold_{fold}", seed=fold)
    (tmp_path / "notes").mkdir()
    assert [run.root.name for run in find_runs(tmp_path)] == ["fold_0", "fold_1"]
    assert [run.root.name for run in find_runs(tmp_path / "fold_1")] == ["fold_1"]
    with pytest.raises(RunError, match="is not a run directory: it has no config.yaml, nor has any folder in it"):
        find_runs(tmp_path / "notes")
    with pytest.raises(RunError, match="none is not a run directory"):
        find_runs(tmp_path / "none")


def test_an_exported_file_predicts_as_its_run_does(tmp_path: Path, write_run: RunWriter, write_volume: Writer) -> None:
    """With the run's window, views and clean-up, that which was learnt, wherever the file is."""
    patches = ["data.sampling=patches", "data.patch.size=[32,48]", "predict.overlap=0.25", "predict.tta=true"]
    run = write_run(tmp_path / "run", *patches, "augment.flip.p=0.5", "data.context_slices=1")
    (run / "postprocess.json").write_text(json.dumps({"steps": ["holes"]}))
    scan = write_volume(tmp_path / "scan.nii.gz", np.random.default_rng(0).normal(size=(50, 70, 4)).astype(np.float32))
    file = export_run(run, tmp_path / "away" / "unet.safetensors").path
    own, other = (load_predictor(path, InferenceOptions(device="cpu")) for path in (run, file))
    described = [
        {**p.settings, "members": [{**m, "run": "", "checkpoint": "", "weights": ""} for m in p.settings["members"]]}
        for p in (own, other)
    ]
    for settings in described:
        settings.pop("checkpoint")
    assert described[0] == described[1]
    assert described[0]["postprocess"] == ["holes"]
    np.testing.assert_array_equal(*(predict(path, scan, device="cpu").get_fdata() for path in (run, file)))
    made = predict(file, scan, tmp_path / "labels", device="cpu")
    assert [result.error for result in made] == [None]
    record = json.loads((tmp_path / "labels" / "scan.json").read_text())
    assert record["members"][0]["run"] == str(file)
    with pytest.raises(UsageError, match="unet.safetensors has one network; leave the checkpoint 'last' out"):
        predict(file, scan, checkpoints="last")
    with pytest.raises(RunError, match="is a network without a run, which has no cases of its own"):
        evaluate(file)


def test_half_precision_halves_the_file_and_is_used_in_single(tmp_path: Path, write_run: RunWriter) -> None:
    run = write_run(tmp_path / "run")
    whole, half = (export_run(run, tmp_path / f"{h}.safetensors", half=h) for h in (False, True))
    assert half.size < 0.72 * whole.size
    assert half.difference > whole.difference == 0
    stored = load_file(half.path)
    assert {value.dtype for value in stored.values()} == {torch.float16, torch.int64}
    (member,) = load_predictor(half.path, InferenceOptions(device="cpu")).members
    for name, value in member.trained.network.state_dict().items():
        assert value.dtype == (torch.int64 if name.endswith("tracked") else torch.float32)
        torch.testing.assert_close(value, stored[name].to(value.dtype), rtol=0, atol=0)
    checkpoint = torch.load(run / "checkpoints" / "best.pt", weights_only=True)
    checkpoint["model"]["head.bias"] += 1e5
    torch.save(checkpoint, run / "checkpoints" / "best.pt")
    with pytest.raises(RunError, match="best.pt cannot be stored in half precision: 'head.bias' is too large for it"):
        export_run(run, tmp_path / "new.safetensors", half=True)
    with pytest.raises(UsageError, match="half precision is for weights: the program in a .pt2 file"):
        export_run(run, tmp_path / "new.pt2", file_format="torch-export", half=True)


def test_a_network_that_a_plugin_brings_is_found_by_its_name(
    tmp_path: Path, write_run: RunWriter, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = export_run(write_run(tmp_path / "run"), tmp_path / "acme.safetensors", half=True).path
    for distribution in ("acme-nets", "bolt-nets"):
        install(distribution, register_networks=[f"Component('acme', {str(file)!r}, 'A network of Acme')"])
    install("cats", register_networks=[f"Component('cat', {str(tmp_path / 'cat.safetensors')!r}, 'No cat')"])
    (member,) = load_predictor(Path("acme-nets:acme"), InferenceOptions(device="cpu")).members
    assert member.trained.path == file
    with pytest.raises(UsageError, match="network 'acme' is registered by both acme-nets 1.0 and bolt-nets 1.0"):
        find_sources(Path("acme"))
    with pytest.raises(RunError, match="the network 'cat' of cats 1.0 has no weights: .*cat.safetensors is missing"):
        find_sources(Path("cat"))
    with pytest.raises(RunError, match=r"car is not a run directory, .* Did you mean 'cat'\? Networks: acme, cat"):
        find_sources(Path("car"))
    with pytest.raises(RunError, match="cat is a network without a run, which has no cases of its own"):
        find_runs(Path("cat"))
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "cat")
    with pytest.raises(UsageError, match="give 'cats:cat' for the network, or './cat' for what is there"):
        find_sources(Path("cat"))
    assert find_sources(tmp_path / "cat")[0].root == tmp_path / "cat"
