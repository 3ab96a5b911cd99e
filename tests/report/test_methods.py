"""The methods section of a run that was really trained and judged: what it says is counted here in another way."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from spine_ignite import cli
from spine_ignite.config import load_config
from spine_ignite.errors import RunError
from spine_ignite.evaluation.judge import evaluate
from spine_ignite.report.methods import methods_of
from spine_ignite.report.methods_text import to_latex, to_markdown
from spine_ignite.runs.manifest import head_of
from spine_ignite.training.run import train


def silent(_line: str) -> None:
    pass


def test_the_section_says_what_the_files_hold_and_refuses_changed_ones(tiny_dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = [
        f"data.root={tiny_dataset}", "data.scheme=lumbar-vertebrae", "data.batch_size=3", "data.validation=0.25",
        "model.width=4", "model.depth=2", "train.epochs=2", "train.steps_per_epoch=3", "optimizer.name=sgd",
        "optimizer.lr=0.03", "loss.class_weights={L5: 2.0}", "augment.affine.p=0", "augment.noise.std=[0, 0.25]",
        "precision=fp32", "threads=1", "log.tensorboard=false",
    ]  # fmt: skip
    train(load_config(None, settings), run, echo=silent)
    evaluate(run)
    found = methods_of(run)
    said = dict(found.paragraphs)

    split = json.loads((run / "split.json").read_text())
    assert [len(split[part]) for part in ("training", "validation", "test")] == [3, 1, 2]
    assert "3 cases of 3 patients for training, 1 case of 1 patient for validation, 2 cases of 2" in said["Data"]
    saved = torch.load(run / "checkpoints" / "best.pt", weights_only=True)
    running = ("running_mean", "running_var", "num_batches_tracked")
    count = sum(value.numel() for name, value in saved["model"].items() if not name.endswith(running))
    assert f"{count:,} parameters, 1 input channel, 8 classes" in said["Network"]
    assert "2015" in said["Network"]
    assert "optimizer sgd with a peak rate of 0.03" in said["Training"]
    assert "momentum 0.9" in said["Training"]
    assert "class weights L5 2" in said["Training"]
    assert "2 epochs and 6 steps" in said["Training"]
    assert f"{saved['best']['score']:.4f}" in said["Training"]
    assert "affine" not in said["Augmentation"]
    assert "std 0 to 0.25" in said["Augmentation"]
    assert f"torch {torch.__version__}" in said["Computation"]
    assert "spine-ignite-unet 0.1.0" in said["Computation"]

    rows = list(csv.DictReader((run / "evaluation" / "test" / "classes.csv").open()))
    assert [row[:3] for row in found.tables[0].rows[:-1]] == [
        (row["label"], row["cases"], f"{float(row['dice']):.3f}") for row in rows
    ]
    assert found.head == head_of(run)
    assert f"`{found.head}`" in to_markdown(found)
    latex = to_latex(found)
    assert r"Loss dice\_ce" in latex
    assert latex.count("{") == latex.count("}")

    assert cli.run(["report", str(run), "--methods", "-o", str(tmp_path / "methods.tex")]) == 0
    assert (tmp_path / "methods.tex").read_text() == latex
    assert cli.run(["report", str(run), "--methods", "-o", str(tmp_path / "methods.docx")]) == 2

    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("lr: 0.03", "lr: 0.01"))
    with pytest.raises(RunError, match="config.yaml is not the file that the manifest records"):
        methods_of(run)


def test_a_run_without_a_manifest_has_no_methods(judged_run: Path) -> None:
    with pytest.raises(RunError, match="has no manifest of its training"):
        methods_of(judged_run)
