"""Whether other programs take what ``spine-ignite convert`` writes: nnU-Net trains on it, the BIDS validator checks it.

nnU-Net verifies the raw folder that was converted (``--verify_dataset_integrity``), plans, preprocesses, and trains a
few steps of its 2D network on the first split of ``splits_final.json``; the splits that it then uses must be those that
were carried over. The validator (``pip install bids-validator-deno``, in an environment of its own) sees the raw
dataset, and the labels as the derivative dataset that they are.

    python benchmarks/converted.py DATASET --bids-validator PATH/bids-validator-deno
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from peers import HERE, peer
from processes import ours

NAME = "Dataset001_Converted"


def run(words: list[Any], environment: dict[str, str] | None = None) -> str:
    """Run a program to its end; what it says ends this program if it fails."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, env={**os.environ, **(environment or {})}
    )
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def train_nnunet(dataset: Path, work: Path, steps: int) -> None:
    """Convert, let nnU-Net verify, plan and preprocess, and train on the splits that came along."""
    folders = {name: work / name for name in ("raw", "preprocessed", "results")}
    for folder in folders.values():
        folder.mkdir()
    environment = {f"nnUNet_{name}": str(folder) for name, folder in folders.items()}
    environment |= {"nnUNet_extTrainer": str(HERE / "nnunet_trainer"), "nnUNet_compile": "f", "nnUNet_def_n_proc": "1"}
    environment |= {"BENCHMARK_STAMPS": str(work / "stamps.jsonl"), "BENCHMARK_STEPS": str(steps)}
    raw, ready = folders["raw"] / NAME, folders["preprocessed"] / NAME
    print(run(ours("convert", dataset, raw, "--to", "nnunet")).strip())
    plan = [peer("nnUNetv2_plan_and_preprocess"), "-d", 1, "-c", "2d", "-np", 1, "-npfp", 1]
    run([*plan, "--verify_dataset_integrity"], environment)
    splits = raw / "splits_final.json"
    if splits.is_file():
        shutil.copy(splits, ready)
    words = [peer("nnUNetv2_train"), 1, "2d", 0, "-device", "cpu", "-tr", "TimedTrainer", "--disable_checkpointing"]
    said = run(words, environment)
    taken = [line for line in (work / "stamps.jsonl").read_text().splitlines() if json.loads(line)["kind"] == "step"]
    losses = [line.strip() for line in said.splitlines() if "train_loss" in line]
    print(f"nnU-Net verified, planned, preprocessed and trained {len(taken)} steps: {'; '.join(losses)}")
    if splits.is_file():
        sizes = [len(json.loads(splits.read_text())[0][side]) for side in ("train", "val")]
        wanted = f"{sizes[0]} training and {sizes[1]} validation cases"
        assert wanted in said, (wanted, said[-3000:])
        print(f"nnU-Net's own log: {wanted}")


def validate_bids(dataset: Path, work: Path, validator: Path) -> None:
    """Convert, and print the errors that the validator finds in both datasets; there should be none."""
    bids = work / "bids"
    print(run(ours("convert", dataset, bids, "--to", "bids", "--contrast", "T2w")).strip())
    for folder in (bids, bids / "derivatives" / "labels"):
        done = subprocess.run([validator, "--json", folder], capture_output=True, text=True)
        issues = json.loads(done.stdout)["issues"]["issues"]
        errors = sorted({issue["code"] for issue in issues if issue["severity"] == "error"})
        warnings = sorted({issue["code"] for issue in issues if issue["severity"] == "warning"})
        place = folder.relative_to(work)
        print(f"{place}: {len(errors)} kinds of errors {errors}, {len(warnings)} kinds of warnings {warnings}")


def main() -> None:
    """Convert and check; an assertion tells what another program did not take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder with train/ and test/, labels in the scheme mrspineseg")
    parser.add_argument("--steps", type=int, default=6, help="that nnU-Net trains")
    parser.add_argument("--bids-validator", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.bids_validator is not None:
            validate_bids(options.dataset, Path(name), options.bids_validator)
        train_nnunet(options.dataset, Path(name), options.steps)


if __name__ == "__main__":
    main()
