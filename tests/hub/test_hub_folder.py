"""A folder for a model hub: its network is the run's, and its card says what the run does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from spine_ignite import cli
from spine_ignite.config import dump_config, load_config
from spine_ignite.errors import RunError, UsageError
from spine_ignite.evaluation.judge import evaluate
from spine_ignite.hub.hub_folder import export_hub
from spine_ignite.inference.export import export_run
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.models import create_model
from spine_ignite.runs.checkpoints import load_network

RunWriter = Callable[..., Path]


@pytest.fixture
def judged(tmp_path: Path, tiny_dataset: Path, write_run: RunWriter) -> Path:
    run = write_run(tmp_path / "run", f"data.root={tiny_dataset}")
    (run / "postprocess.json").write_text(json.dumps({"steps": ["components"]}))
    rows = [{"epoch": epoch, "train/loss": 1 / epoch} for epoch in (1, 2, 3)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluate(run, options=InferenceOptions(device="cpu"))
    return run


def test_the_card_has_the_run_s_figures_and_no_names_of_cases(judged: Path, tmp_path: Path) -> None:
    made = export_hub(judged, tmp_path / "lumbar", license_id="CC-BY-4.0")
    assert made.notes == ()
    assert sorted(path.name for path in made.folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    card = (made.folder / "README.md").read_text(encoding="utf-8")
    _, head, text = card.split("---\n", 2)
    front = yaml.safe_load(head)
    assert front["license"] == "cc-by-4.0"
    assert front["library_name"] == "spine-ignite"
    assert {"mri", "spine", "unet"} <= set(front["tags"])
    summary = json.loads((judged / "evaluation/test/summary.json").read_text())
    (result,) = front["model-index"][0]["results"]
    told = {metric["type"]: metric["value"] for metric in result["metrics"]}
    for key, value in told.items():
        assert value == pytest.approx(summary["means"][key], abs=5e-5)
    assert {"dice", "iou"} <= told.keys()
    assert f"| mean | 2 |  | {summary['means']['dice']:.4f} |" in text
    for said in ("| training | 3 | 3 |", "| validation | 1 | 1 |", "| test | 2 | 2 |", "3 epochs", "Not meant for"):
        assert said in text, said
    assert "| clean-up | components |" in text
    assert "Ronneberger" in text
    everything = b"".join(path.read_bytes() for path in made.folder.iterdir())
    split = json.loads((judged / "split.json").read_text())
    for case in (*split["training"], *split["validation"], *split["test"]):
        assert case["name"].encode() not in everything
    assert str(tmp_path).encode() not in everything
    config = json.loads((made.folder / "config.json").read_text())
    assert config["description"]["scheme"]["classes"][1]["color"]
    assert "images" not in config["description"]


def test_nothing_says_where_the_encoder_s_weights_lay(tmp_path: Path, write_run: RunWriter) -> None:
    run = write_run(tmp_path / "run")
    sizes = ["data.scheme=lumbar-vertebrae", "data.spacing=[1,1]", "data.size=[64,64]"]
    model = ["model.name=deeplabv3plus", "model.backbone=resnet18", "model.weights=/home/jane/resnet.pth"]
    (run / "config.yaml").write_text(dump_config(load_config(None, [*sizes, *model])))
    for path in (run / "checkpoints").iterdir():
        description = torch.load(path, weights_only=True)["description"]
        description = {**description, "model": "deeplabv3plus", "plugin": None}
        description["options"] = {"backbone": "resnet18", "pretrained": True, "weights": "/home/jane/resnet.pth"}
        network = create_model("deeplabv3plus", 1, description["num_classes"], backbone="resnet18")
        torch.save({"model": network.state_dict(), "description": description}, path)
    folder = export_hub(run, tmp_path / "hub").folder
    for path in (*folder.iterdir(), export_run(run).path):
        for place in (b"/home/jane", os.fsencode(tmp_path)):
            assert place not in path.read_bytes(), path
    options = load_network(folder / "model.safetensors").description.options
    assert options == {"backbone": "resnet18", "pretrained": False, "weights": None}


def test_it_predicts_without_the_run_in_another_place_bit_for_bit(
    judged: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    scan = tiny_dataset / "test/source/Case5.nii.gz"
    expected = nib.load(judged / "predictions/test/Case5.nii.gz")
    values = np.asarray(expected.dataobj)
    export_hub(judged, tmp_path / "lumbar")
    assert cli.run(["export", str(judged), "-o", str(tmp_path / "file.safetensors")]) == 0
    away = tmp_path / "away"
    away.mkdir()
    for name in ("lumbar", "file.safetensors"):
        (tmp_path / name).rename(away / name)
    scan = scan.rename(away / "scan.nii.gz")
    shutil.rmtree(judged)
    shutil.rmtree(tiny_dataset)
    for name in ("lumbar", "lumbar/model.safetensors", "file.safetensors"):
        command = [sys.executable, "-m", "spine_ignite", "predict", name, scan.name, "-o", f"{name}-labels"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        subprocess.run([*command, "--device", "cpu"], cwd=away, check=True, env=environment, stdout=subprocess.DEVNULL)
        found = nib.load(away / f"{name}-labels" / "scan.nii.gz")
        np.testing.assert_array_equal(np.asarray(found.dataobj), values)
        np.testing.assert_array_equal(found.affine, expected.affine)
        (colours,) = (away / f"{name}-labels").glob("labels.itksnap.txt")
        assert "L5" in colours.read_text()


def test_figures_of_other_weights_are_not_told(judged: Path, tmp_path: Path) -> None:
    made = export_hub(judged, tmp_path / "last", checkpoint="last")
    assert [note.partition(":")[0] for note in made.notes] == ["the card has no figures", "the card names no licence"]
    card = (made.folder / "README.md").read_text(encoding="utf-8")
    assert "these weights have not been judged on test cases of their run" in card
    assert "model-index" not in card
    assert "license: other" in card
    shutil.rmtree(judged / "evaluation")
    (judged / "split.json").unlink()
    notes = export_hub(judged, tmp_path / "nothing").notes
    assert any("spine-ignite evaluate" in note for note in notes)
    assert "How many cases it was trained on is not recorded" in (tmp_path / "nothing/README.md").read_text()


def test_mistakes_leave_nothing(judged: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(RunError, match="mine exists already; choose another place, or remove it"):
        export_hub(judged, tmp_path / "mine")
    with pytest.raises(UsageError, match="--out"):
        export_hub(judged, tiny_dataset / "hub")
    with pytest.raises(UsageError, match="is no licence"):
        export_hub(judged, tmp_path / "new", license_id="?")
    with pytest.raises(RunError, match="other.pt does not exist"):
        export_hub(judged, tmp_path / "new", checkpoint=str(tmp_path / "other.pt"))
    assert cli.run(["export", str(judged), "--format", "hub"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "mine", "run"]
    export_hub(judged, tmp_path / "hub")
    with pytest.raises(RunError, match="is a network without a run, which has no cases of its own"):
        evaluate(tmp_path / "hub")


def test_names_from_outside_stay_text_in_the_card(tmp_path: Path, tiny_dataset: Path, write_run: RunWriter) -> None:
    import torch

    run = write_run(tmp_path / "run", f"data.root={tiny_dataset}")
    for file in (run / "checkpoints").iterdir():
        checkpoint = torch.load(file, weights_only=True)
        checkpoint["description"]["scheme"]["name"] = "<script>x</script>|[a](http://b)"
        torch.save(checkpoint, file)
    made = export_hub(run, tmp_path / "hub")
    card = (made.folder / "README.md").read_text(encoding="utf-8")
    assert "<script>" not in card
    assert r"\<script\>" in card
