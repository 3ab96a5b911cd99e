"""What the benchmarks beside nnU-Net share: its raw folder, read by both programs, its plan, and our settings.

The folder of volumes has the layout of this program (``train/source``, ``train/label``, ``test/source``), with labels
of the scheme ``lumbar-vertebrae``.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import yaml
from peers import HERE, peer
from processes import measure

from spine_ignite.datasets.find_cases import find_cases

DATASET = "Dataset001_Lumbar"
PLANS = "nnUNetPlans.json"
BATCH, PATCH = 8, (224, 224)

# nnUNetTrainer's transforms; see benchmarks/augmentation.py.
AUGMENT = {
    "flip": {"p": 0.5, "head_to_foot": 0.5},
    "affine": {
        "p": 0.36,
        "degrees": [-180, 180],
        "scale": [0.7, 1.4],
        "shear": [0, 0],
        "shift_rows": [0, 0],
        "shift_columns": [0, 0],
    },
    "elastic": {"p": 0},
    "noise": {"p": 0.1, "std": [0, math.sqrt(0.1)]},
    "blur": {"p": 0.1, "sigma": [0.5, 1.0]},
    "contrast": {"p": 0.2775, "contrast": [0.75, 1.25], "brightness": [0, 0]},
    "low_resolution": {"p": 0.125, "zoom": [0.5, 1.0]},
    "gamma": {"p": 0.37, "gamma": [0.7, 1.5]},
    "bias_field": {"p": 0},
    "ghosting": {"p": 0},
}


class Workspace:
    """A temporary folder with nnU-Net's three folders, and what this program needs to read the same volumes.

    Args:
        folder: takes everything.
        volumes: the dataset.
    """

    def __init__(self, folder: Path, volumes: Path) -> None:
        self.folder = folder
        self.raw = folder / "raw" / DATASET
        self.test = folder / "test"  # not in the raw folder: neither program should preprocess it
        self.preprocessed = folder / "preprocessed" / DATASET
        self.model = folder / "results" / DATASET / "nnUNetTrainer__nnUNetPlans__2d"
        self.scheme = folder / "scheme.yaml"
        self.nnunet = {
            **{f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")},
            "nnUNet_extTrainer": str(HERE / "nnunet_trainer"),
        }
        for name in ("raw", "preprocessed", "results"):
            (folder / name).mkdir()
        self._write_raw(volumes)
        self.plugin = plugin(folder / "plugin")

    def _write_raw(self, volumes: Path) -> None:
        """Write copies that both programs see alike.

        nnU-Net wants labels without gaps. It sees slices as they lie in a file, this program with the head above: a
        network that was trained by one is of use to the other only if the files have it so too.
        """
        dataset, problems = find_cases(volumes)
        assert not problems, problems[0]
        masks = {case.name: nib.load(case.label) for case in dataset.split("train") if case.label is not None}
        values = sorted(set().union(*(np.unique(mask.dataobj).tolist() for mask in masks.values())) - {0})
        for place in (self.raw / "imagesTr", self.raw / "labelsTr", self.test):
            place.mkdir(parents=True)
        for case in dataset.cases:
            place = self.raw / "imagesTr" if case.split == "train" else self.test
            nib.save(head_up(nib.load(case.image)), place / f"{case.name}_0000.nii.gz")
        for name, mask in masks.items():
            array = np.searchsorted([0, *values], np.asarray(mask.dataobj)).astype(np.uint8)
            nib.save(head_up(nib.Nifti1Image(array, mask.affine)), self.raw / "labelsTr" / f"{name}.nii.gz")
        names = {f"structure{value}": number for number, value in enumerate(values, 1)}
        description = {
            "channel_names": {"0": "MRI"},
            "labels": {"background": 0, **names},
            "numTraining": len(masks),
            "file_ending": ".nii.gz",
        }
        (self.raw / "dataset.json").write_text(json.dumps(description))
        classes = [{"value": 0, "name": "background", "kind": "background", "color": [0, 0, 0]}]
        classes += [
            {"value": number, "name": name, "kind": "vertebra", "color": [40 * number, 255 - 40 * number, 90]}
            for name, number in names.items()
        ]
        self.scheme.write_text(yaml.safe_dump({"name": "renumbered", "classes": classes}))

    def plan(self) -> None:
        """Let nnU-Net plan and preprocess, then ask for 8 slices of 224 x 224 as in the comparison."""
        measure([peer("nnUNetv2_plan_and_preprocess"), "-d", 1, "-c", "2d", "-np", 2, "-npfp", 2], self.nnunet)
        path = self.preprocessed / PLANS
        plans = json.loads(path.read_text())
        configuration = plans["configurations"]["2d"]
        configuration["batch_size"], configuration["patch_size"] = BATCH, list(PATCH)
        path.write_text(json.dumps(plans))

    def store_settings(self) -> dict[str, object]:
        """Return this program's configuration of preprocessing."""
        return {
            "data.cache": str(self.folder / "store"),
            "data.scheme": str(self.scheme),
            "data.clip_percentiles": [0, 100],  # nnU-Net does not clip MRI
        }

    def settings(self) -> dict[str, object]:
        """Return this program's configuration of the same training."""
        augment = {f"augment.{name}.{key}": v for name, part in AUGMENT.items() for key, v in part.items()}
        return {
            **self.store_settings(),
            "data.root": str(self.raw),
            "data.size": list(PATCH),
            "data.batch_size": BATCH,
            "data.foreground_share": 0.33,
            "data.validation": 0,
            "model.name": "nnunet",
            "model.plans": str(self.preprocessed / PLANS),
            "optimizer.name": "sgd",
            "optimizer.lr": 0.01,
            "optimizer.momentum": 0.99,
            "optimizer.weight_decay": 3e-5,
            "schedule.name": "poly",
            "schedule.warmup": 0,
            "train.epochs": 1,
            **augment,
        }


def head_up(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Order a sagittal volume's axes so that files hold slices with rows to the feet and columns to the back."""
    wanted = nib.orientations.axcodes2ornt(("P", "I", "R"))
    return image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), wanted))


def plugin(folder: Path) -> dict[str, str]:
    """Write the entry point of :mod:`nnunet_plugin` into a folder; return the variable that makes Python see it."""
    information = folder / "spine_ignite_benchmark-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: spine-ignite-benchmark\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[spine_ignite]\nbenchmark = nnunet_plugin\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(HERE)])}
