"""The core's own layouts of a dataset; each is found by the folders that it has."""

from __future__ import annotations

from pathlib import Path

from spine_ignite.datasets.bids import find as bids
from spine_ignite.datasets.case_ids import bare_id
from spine_ignite.datasets.cases import Case, Folders
from spine_ignite.datasets.datalist import find as monai
from spine_ignite.volumes.dicom.dicom_paths import is_dicom
from spine_ignite.volumes.reader import volume_stem

__all__ = ["bids", "dicom", "monai", "mrspineseg", "nnunet", "spider"]


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
    images, masks = root / "images", root / "masks"
    if not images.is_dir() or (not masks.is_dir() and is_dicom(images)):
        return None
    return [Folders("train", images, masks)]


def dicom(root: Path) -> list[Case] | None:
    """DICOM by itself: of each study the series that is chosen, without a mask."""
    if not is_dicom(root):
        return None
    from spine_ignite.volumes.dicom.dicom_reader import volumes_in

    return [Case(bare_id(volume_stem(p)), volume_stem(p), p, None, "test") for p in volumes_in(root)]
