"""The core's own layouts of a dataset; each is found by the folders that it has."""

from __future__ import annotations

from pathlib import Path

from spine_ignite.datasets.bids import find as bids
from spine_ignite.datasets.cases import Folders
from spine_ignite.datasets.datalist import find as monai

__all__ = ["bids", "monai", "mrspineseg", "nnunet", "spider"]


def nnunet(root: Path) -> list[Folders] | None:
    """nnU-Net's raw dataset: ``imagesTr``, ``labelsTr``, ``imagesTs``, ``labelsTs``."""
    if not ((root / "imagesTr").is_dir() or (root / "imagesTs").is_dir()):
        return None
    return [
        Folders("train", root / "imagesTr", root / "labelsTr", channels=True),
        Folders("test", root / "imagesTs", root / "labelsTs", labels_needed=False, channels=True),
    ]


def mrspineseg(root: Path) -> list[Folders] | None:
    """MRSpineSeg: ``source`` and ``label`` in ``train`` and ``test``."""
    found = [
        Folders(name, root / name / "source", root / name / "label", labels_needed=name == "train")
        for name in ("train", "test")
    ]
    return found if any(folders.images.is_dir() for folders in found) and not (root / "masks").is_dir() else None


def spider(root: Path) -> list[Folders] | None:
    """SPIDER: ``images`` and ``masks``, all for training."""
    return [Folders("train", root / "images", root / "masks")] if (root / "images").is_dir() else None
