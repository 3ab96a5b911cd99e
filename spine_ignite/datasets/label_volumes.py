"""Label volumes that are given by name, whatever made them: no images, no splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spine_ignite.datasets.unread import no_volume
from spine_ignite.datasets.volume_files import volume_files
from spine_ignite.errors import DataError
from spine_ignite.volumes.dicom.segmentation_reading import is_segmentation
from spine_ignite.volumes.reader import volume_suffix


def label_volumes(inputs: Sequence[Path]) -> list[Path]:
    """Return the label volumes that are meant by files and folders, each once.

    Raises:
        DataError: an input is missing, no volume, or a folder without any.
    """
    found: dict[Path, Path] = {}
    for path in inputs:
        if path.is_dir():
            inside = volume_files(path) or [file for file in sorted(path.glob("*.dcm")) if is_segmentation(file)]
            if not inside:
                raise DataError(f"folder {path} holds no volumes; give the folder in which the label volumes are")
        elif not path.exists():
            raise DataError(f"input {path} does not exist")
        elif volume_suffix(path) is None:
            raise DataError(no_volume(path))
        else:
            inside = [path]
        for file in inside:
            found.setdefault(file.resolve(), file)
    return list(found.values())
