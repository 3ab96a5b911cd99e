"""Which image the signal of a label volume is measured in: by case id, or the series that a segmentation is of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spine_ignite.datasets.volume_files import dicom_sources, volume_files
from spine_ignite.errors import UsageError
from spine_ignite.inference.recorded_images import match_images
from spine_ignite.volumes.dicom.dicom_paths import is_dicom, is_slice_name, split_key
from spine_ignite.volumes.dicom.dicom_reader import referred_series
from spine_ignite.volumes.dicom.segmentation_reading import is_segmentation


class Images:
    """The images that belong to label volumes.

    Args:
        place: one image, a folder of images, or what holds DICOM: a series, an exam, an archive.
        files: the label volumes.

    Raises:
        UsageError: it does not exist, or is one image for several label volumes.
        DataError: a folder cannot be read, or two of its files have the same case id.
    """

    def __init__(self, place: Path, files: Sequence[Path]) -> None:
        if split_key(place)[1] is None and not place.exists():
            raise UsageError(f"{place} does not exist; give the image, or a folder of images")
        self._place, self._is_dicom = place, is_dicom(place)
        others = [file for file in files if not (self._is_dicom and is_dicom_segmentation(file))]
        inside = [*volume_files(place), *dicom_sources(place)] if place.is_dir() else []
        pairs = match_images(inside, others).values()
        self._by_id = {label: image for image, label in pairs if image is not None and label is not None}
        if not self._by_id and (self._is_dicom or not place.is_dir()):
            if len(others) > 1:
                raise UsageError(
                    f"{place} is one image for {len(others)} label volumes; give the folder of their images"
                )
            self._by_id = dict.fromkeys(others, place)

    def of(self, file: Path) -> Path | None:
        """Return the image of a label volume; None if there is none.

        Of DICOM it is, for a segmentation, the series that it was made of, unless a series is named.

        Raises:
            DataError: that series is not there, or it cannot be read.
        """
        if not (self._is_dicom and is_dicom_segmentation(file)):
            return self._by_id.get(file)
        return self._place if split_key(self._place)[1] is not None else referred_series(file, self._place)


def is_dicom_segmentation(file: Path) -> bool:
    """Whether a label volume is a segmentation in DICOM."""
    return is_slice_name(file) and is_segmentation(file)
