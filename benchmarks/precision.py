"""Accuracy and speed of bfloat16 against float32: the same training twice, for several seeds, on a lumbar dataset.

The recipe is ``configs/lumbar.yaml`` for a fixed number of steps. Seed by seed both arithmetics see the same
batches, augmentation and initial weights. One fold of the training cases is held out and predicted with the averaged
weights of the last step, each in the arithmetic that it was trained in and without clean-up; Dice is in 3D, the mean
over structures and then over cases. The test cases are not looked at. Speed is that of the training steps; the two
take turns.

    python benchmarks/precision.py LUMBAR --out benchmarks/results/precision.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from processes import write_json

from spine_ignite import InferenceOptions
from spine_ignite.config import load_config
from spine_ignite.datasets.split import read_split
from spine_ignite.evaluation.case_results import evaluate_case
from spine_ignite.inference.members import load_members
from spine_ignite.inference.network_sources import find_sources
from spine_ignite.inference.predictor import Predictor
from spine_ignite.machine.precision import choose_device, choose_precision
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.slices.build import build_store
from spine_ignite.training.run import train
from spine_ignite.volumes.volume import read_image, read_label

RECIPE = Path(__file__).resolve().parent.parent / "configs" / "lumbar.yaml"
FOLD = ("data.folds=4", "data.fold=0")


def quiet(_line: str) -> None:
    """Say nothing."""


def run(data: Path, folder: Path, seed: int, precision: str, steps: int, settings: Sequence[str]) -> dict[str, float]:
    """Train once; return the mean 3D Dice of the cases held out, and slices per second."""
    config = load_config(
        RECIPE,
        [
            f"data.root={data}",
            f"data.cache={folder / 'store'}",
            *FOLD,
            f"seed={seed}",
            f"precision={precision}",
            "train.minutes=null",
            "train.epochs=1",
            f"train.steps_per_epoch={steps}",
            "log.tensorboard=false",
            "log.doctor=false",
            *settings,
        ],
    )
    result = train(config, folder / f"{precision}-{seed}", echo=quiet)
    line = (result.directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    device = choose_device(config.device)
    predictor = Predictor(
        load_members(find_sources(result.directory), InferenceOptions(), device),
        device=device,
        precision=choose_precision(precision, device),
    )
    store = build_store(config.data).store
    held_out = {case.name for case in read_split(RunDirectory(result.directory).split).validation}
    dices = []
    for case in store.split("train"):
        if case.name in held_out:
            assert case.label is not None
            volume, label = read_image(Path(case.image.path)), read_label(Path(case.label.path))
            prediction = store.scheme.to_indices(predictor.segment(volume).values)
            spacing = tuple(float(n) for n in torch.from_numpy(volume.affine[:3, :3]).norm(dim=0))
            reference = store.scheme.to_indices(label.array)
            dices.append(evaluate_case(case.name, reference, prediction, spacing, store.scheme).dice)
    return {"dice": statistics.fmean(dices), "slices_per_second": json.loads(line)["slices_per_second"]}


def main() -> None:
    """Train, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="dataset folder, as lumbar-t1")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--set", action="append", default=[], help="a further setting, as model.width=16")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    device = choose_device("auto")
    auto = choose_precision("auto", device)
    print(f"precision auto on {device}: {auto.name}, since {auto.reason}; {torch.get_num_threads()} threads\n")
    if auto.name == "fp32":
        sys.exit("there is nothing to compare: this device does not compute bfloat16 fast")
    rows: list[dict[str, Any]] = []
    print("| seed | Dice fp32 | Dice bf16 | difference | slices/s fp32 | slices/s bf16 | times as fast |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(options.seeds):
            found = {}
            for precision in ("fp32", "bf16") if number % 2 == 0 else ("bf16", "fp32"):
                found[precision] = run(options.data, Path(folder), seed, precision, options.steps, options.set)
            rows.append({"seed": seed, **found})
            show(str(seed), [rows[-1]])
    show("mean", rows)
    write_json(options.out, {"steps": options.steps, "auto": auto.name, "reason": auto.reason, "rows": rows})


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print a line: the means of some rows."""
    first, second = (statistics.fmean(row[name]["dice"] for row in rows) for name in ("fp32", "bf16"))
    slow, fast = (statistics.fmean(row[name]["slices_per_second"] for row in rows) for name in ("fp32", "bf16"))
    dices = f"{first:.4f} | {second:.4f} | {second - first:+.4f}"
    print(f"| {title} | {dices} | {slow:.1f} | {fast:.1f} | {fast / slow:.2f} |", flush=True)


if __name__ == "__main__":
    main()
