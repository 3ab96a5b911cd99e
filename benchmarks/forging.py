"""Rewrite every hash in a run that was tampered with, so that its records and its manifest fit each other again.

What a careful forger does who has the program and time, but trains nothing and computes no figure again: hashes of
images and masks in ``split.json``, in checkpoints and records of predictions; of weights wherever they are named; of
the tables in their summary; and every line of the manifest with the hash of the one before.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from spine_ignite.config import load_config
from spine_ignite.datasets.sources import find_configured
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.runs.manifest_entries import shares_sha256
from spine_ignite.runs.resumption import configuration_of, identity
from spine_ignite.training.budget import shares_in
from spine_ignite.volumes.digests import file_sha256, volume_sha256, voxels_sha256
from spine_ignite.volumes.volume import read_image

SPLIT_PARTS = ("training", "validation", "test")


def forge(root: Path) -> None:
    """Let all hashes in ``root/run`` and its records be those of the files in ``root/run`` and ``root/dataset``."""
    run = RunDirectory(root / "run")
    cases = _cases(root)
    _rewrite_split(run, cases)
    _rewrite_checkpoints(run)
    weights = file_sha256(run.best)
    _rewrite_predictions(run, cases, weights)
    _rewrite_summary(run, weights)
    _rewrite_manifest(run, cases, weights)


def _cases(root: Path) -> dict[str, dict[str, Any]]:
    data = load_config(root / "run" / "config.yaml").data.model_copy(update={"root": root / "dataset"})
    return {
        case.name: {
            "image": volume_sha256(case.image),
            "mask": None if case.label is None else volume_sha256(case.label),
            "voxels": voxels_sha256(read_image(case.image)),
        }
        for case in find_configured(data).cases
    }


def _rewrite_split(run: RunDirectory, cases: dict[str, dict[str, Any]]) -> None:
    split = json.loads(run.split.read_text())
    for part in SPLIT_PARTS:
        for case in split[part]:
            case |= cases[case["name"]]
    run.split.write_text(json.dumps(split, indent=1) + "\n")


def _rewrite_checkpoints(run: RunDirectory) -> None:
    training = json.loads(run.split.read_text())["training"]
    config = configuration_of(None, run)
    plugin = json.loads(run.environment.read_text())["plugin"]
    for path in (run.best, run.last):
        saved = torch.load(path, weights_only=True)
        saved["description"] |= {"images": sorted({case["voxels"] for case in training}), "plugin": plugin}
        if "best" in saved:
            saved["best"]["run"] = identity(config)
        if "config" in saved:
            saved["config"] = config.model_dump(mode="json")
        torch.save(saved, path)


def _rewrite_predictions(run: RunDirectory, cases: dict[str, dict[str, Any]], weights: str) -> None:
    for path in (run.predictions / "test").glob("*.nii.gz"):
        record = path.with_name(path.name.replace(".nii.gz", ".json"))
        made = json.loads(record.read_text())
        name = path.name.removesuffix(".nii.gz")
        made |= {"labels_sha256": file_sha256(path), "image_sha256": cases[name]["image"]}
        for member in made["members"]:
            member["weights"] = weights
        record.write_text(json.dumps(made, indent=2) + "\n")


def _rewrite_summary(run: RunDirectory, weights: str) -> None:
    folder = run.evaluation / "test"
    summary = json.loads((folder / "summary.json").read_text())
    summary["tables"] = {name: file_sha256(folder / name) for name in summary["tables"]}
    for member in summary["settings"]["members"]:
        member["weights"] = weights
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


def _rewrite_manifest(run: RunDirectory, cases: dict[str, dict[str, Any]], weights: str) -> None:
    environment = json.loads(run.environment.read_text())
    versions = dict(text.rpartition(" ")[::2] for text in environment["components"].values())
    versions |= {name: version for name, version in environment["versions"].items() if version is not None}
    last = torch.load(run.last, weights_only=True)
    lines, former = [], "0" * 64
    for line in run.manifest.read_text().splitlines():
        entry = json.loads(line)
        entry["files"] = {path: file_sha256(run.root / path) for path in entry["files"]}
        entry["data"] = {name: {key: cases[name][key] for key in ("image", "mask")} for name in entry["data"]}
        entry["code"] |= {name: version for name, version in versions.items() if name in entry["code"]}
        if "weights" in entry["settings"]:
            entry["settings"]["weights"] = [weights for _ in entry["settings"]["weights"]]
        if "progress" in entry["settings"]:
            entry["settings"]["progress"] = shares_sha256(shares_in(last["budget"]))
        text = json.dumps({**entry, "former": former})
        lines.append(text)
        former = hashlib.sha256(text.encode()).hexdigest()
    run.manifest.write_text("".join(f"{text}\n" for text in lines))
