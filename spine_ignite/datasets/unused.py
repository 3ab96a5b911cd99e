"""What of a dataset's folder is not used, and why: so that nobody takes for trained on what is only lying there."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from spine_ignite.datasets.cases import Dataset
from spine_ignite.datasets.exams import TABLE
from spine_ignite.datasets.unread import is_image, is_voxels
from spine_ignite.errors import DataError
from spine_ignite.volumes.dicom.dicom_paths import split_key
from spine_ignite.volumes.digests import parts_of
from spine_ignite.volumes.reader import suffix_of_name, volume_suffix

_OURS = (".spine-ignite", ".spine-ignite-cache", ".lock")
_ON_REQUEST = (".json", ".csv", ".tsv", ".yaml", ".yml")

_LYING = "DICOM that no case reads, and what lies beside it"


@dataclass(frozen=True, slots=True)
class Unused:
    """Files of one folder that are not used for one reason, in order of their names; ``names`` are those to be shown.

    Of DICOM the files are those anywhere below the folder, and none is named: their names may be a patient's.
    """

    folder: Path
    files: tuple[Path, ...]
    why: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files that may be shown."""
        return () if self.why == _LYING else tuple(path.name for path in self.files)


def unused_files(root: Path, dataset: Dataset, told: Collection[Path] = ()) -> list[Unused]:
    """Return every file below a dataset's folder that is no part of a case, by folder and reason.

    What lies in folders of DICOM beside the series that is read is not listed, and other DICOM is counted for each
    folder in ``root``: names in there may be a patient's.

    Args:
        root: the folder; links to folders in it are not followed.
        dataset: its cases, and those of others maybe.
        told: files of which a problem tells already.
    """
    sources = {split_key(path)[0] for case in dataset.cases for path in (case.image, *case.images.values())}
    if root in sources:
        return []
    used = {part for case in dataset.cases for path in case.files for part in _parts(path)}
    exams = any(case.contrasts for case in dataset.cases)
    used |= {root / TABLE} if exams else set()
    skipped = {*used, *told}
    folders = {path.parent for path in skipped}
    groups: dict[tuple[Path, str], list[Path]] = {}
    found = [path for path in _files(root, sources) if path not in skipped]
    slices = {path for path in found if suffix_of_name(path) is None and volume_suffix(path) is not None}
    above = {place for folder in folders for place in (folder, *folder.parents)}
    private = {place for path in slices for place in path.parents} - {*above, root, *root.parents}
    for path in found:
        if path in slices or path.parent in private:
            inside = path.relative_to(root).parts
            key = (root / inside[0] if len(inside) > 1 else root, _LYING)
        else:
            key = (path.parent, _why(path, path.parent in folders, dataset.layout, exams))
        groups.setdefault(key, []).append(path)
    return [Unused(folder, tuple(files), why) for (folder, why), files in groups.items()]


def _parts(path: Path) -> list[Path]:
    try:
        return parts_of(path)
    except DataError:  # told where the file is read
        return [path]


def _files(root: Path, sources: Collection[Path]) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _OURS and Path(place, name) not in sources)
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        for name in sorted([*names, *links]):
            if name not in _OURS:
                yield Path(place) / name


def _why(path: Path, beside_cases: bool, layout: str, exams: bool) -> str:
    if path.is_dir():
        return "a link to a folder, which is not followed"
    if path.name.startswith((".", "~")):
        return "hidden: the name begins with . or ~"
    if volume_suffix(path) is not None and not beside_cases:
        return f"volumes in a folder that the layout {layout} does not read"
    if volume_suffix(path) is not None and exams:
        return "images of none of data.contrasts, and masks of another image than the first of its case that has one"
    if volume_suffix(path) is not None:
        return f"volumes that are no image or mask of a case in the layout {layout}"
    if is_voxels(path):
        return "voxels whose header is not used"
    if path.suffix.lower() == ".img":
        return "voxels without a header (.hdr) beside them"
    if is_image(path):
        return "a format that is not read"
    if path.suffix.lower() in _ON_REQUEST:
        return "tables and descriptions, read where a key names them (data.scheme, data.split, data.patients)"
    return "no volumes"
