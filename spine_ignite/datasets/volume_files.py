"""The volumes that lie in a folder, and what they are called."""

from __future__ import annotations

from pathlib import Path

from spine_ignite.datasets.case_ids import natural_order, without_channel
from spine_ignite.errors import DataError
from spine_ignite.volumes.dicom.dicom_paths import is_dicom
from spine_ignite.volumes.reader import suffix_of_name, volume_stem

_MASK_FOLDERS = {"source": "label", "images": "masks", "imagesTr": "labelsTr", "imagesTs": "labelsTs"}


def volume_files(folder: Path) -> list[Path]:
    """Return the volumes directly in a folder, in natural order.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        files = [path for path in folder.iterdir() if suffix_of_name(path) and not path.name.startswith(".")]
    except OSError as error:
        raise DataError(f"folder {folder} cannot be read: {error.strerror}") from error
    return sorted(files, key=lambda path: natural_order(path.name.lower()))


def image_volumes(folder: Path) -> list[Path]:
    """Return the volumes in a dataset's folder of images, where folders and zips of DICOM are images too.

    Raises:
        DataError: the folder cannot be read.
    """
    files = volume_files(folder)
    masks = mask_folder(folder)
    if masks is None or not (masks.is_dir() or folder.name != "images"):
        return files
    return sorted([*files, *dicom_sources(folder)], key=lambda path: natural_order(path.name.lower()))


def dicom_sources(folder: Path) -> list[Path]:
    """Return the folders and zips of DICOM directly in a folder."""
    others = (path for path in folder.iterdir() if not path.name.startswith(".") and suffix_of_name(path) is None)
    return [path for path in others if (path.is_dir() or path.suffix.lower() == ".zip") and is_dicom(path)]


def case_names(folder: Path) -> dict[Path, str]:
    """Return what each volume of a folder of images is called: its stem, without nnU-Net's channel.

    Raises:
        DataError: the folder cannot be read.
    """
    masks = mask_folder(folder)
    labelled = volume_files(masks) if masks is not None and masks.is_dir() else []
    names = {path: volume_stem(path) for path in image_volumes(folder)}
    return without_channel(names, {path: volume_stem(path) for path in labelled})


def mask_folder(images: Path) -> Path | None:
    """Return where the masks of a dataset's folder of images are or would be; None for a folder of another name."""
    name = _MASK_FOLDERS.get(images.name)
    return images.with_name(name) if name is not None else None
