"""Which files a prediction reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.find_cases import image_files, image_folders
from spine_ignite.datasets.sources import prefixed
from spine_ignite.datasets.unread import describe, no_volume, unread_files
from spine_ignite.datasets.volume_files import case_names, image_volumes, mask_folder, volume_files
from spine_ignite.errors import DataError, UsageError
from spine_ignite.volumes.dicom.dicom_paths import SUFFIX as DICOM
from spine_ignite.volumes.dicom.dicom_paths import is_dicom
from spine_ignite.volumes.reader import suffix_of_name, volume_stem, volume_suffix, written_suffix


def collect_jobs(inputs: Sequence[Path], out: Path, series: Sequence[str] = ()) -> list[tuple[Path, Path]]:
    """Pair every input volume with the label volume to write in ``out``.

    An input is a file, a folder of volumes, a split of a dataset, or a dataset (its test images, or all if it has none,
    whether they have masks or not). The output has the input's name, without nnU-Net's channel; ``.mhd`` becomes
    ``.mha``, ``.nhdr`` becomes ``.nrrd``, and a format that is only read becomes ``.nii.gz``. DICOM is called by its
    folder or zip, as given.

    Args:
        inputs: as above.
        out: folder of the outputs.
        series: of DICOM, which are read; see :func:`~.dicom_reader.volumes_in`.

    Raises:
        DataError: an input is missing or holds no volumes.
        UsageError: ``out`` is a folder of images or of their masks, or two inputs have the same output, suffix aside.
    """
    names_in = lru_cache(_names_in)
    files = [file for path in inputs for file in volumes_of(path, series)]
    _require_apart(files, out)
    jobs: dict[Path, Path] = {}
    sources: dict[str, Path] = {}  # what lies beside a label volume has its name without the suffix
    for source in files:
        name = names_in(source.parent).get(source, volume_stem(source))
        output = out / f"{name}{written_suffix(volume_suffix(source))}"
        other = sources.setdefault(name, source)
        if other.resolve() != source.resolve():
            raise _refuse(other, source, output)
        jobs[output] = source
    return [(source, output) for output, source in jobs.items()]


def case_jobs(cases: Sequence[Case], out: Path) -> list[tuple[Path, Path]]:
    """Do so for cases of the datasets of a run, whose label volumes are called as the cases are.

    Raises:
        UsageError: ``out`` is a folder of images or of their masks.
    """
    exams = [case for case in cases if case.contrasts]
    if exams:
        return exam_jobs(exams, out)
    jobs = []
    for dataset in dict.fromkeys(case.dataset for case in cases):
        found = collect_jobs([case.image for case in cases if case.dataset == dataset], out)
        jobs += [(source, output.with_name(prefixed(dataset, output.name))) for source, output in found]
    return jobs


def exam_jobs(exams: Sequence[Case], out: Path) -> list[tuple[Path, Path]]:
    """Pair the image that gives an exam's grid with the label volume to write in ``out``, called as the exam is.

    Raises:
        UsageError: ``out`` is a folder of images or of their masks, or two exams have the same name.
    """
    _require_apart([path for exam in exams for path in exam.images.values()], out)
    return require_one_each(
        [(exam.image, out / f"{exam.name}{written_suffix(volume_suffix(exam.image))}") for exam in exams]
    )


def require_one_each(jobs: Sequence[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Return pairs of an image and its label volume, each once.

    Raises:
        UsageError: two images would be written to the same label volume, suffix aside.
    """
    seen: dict[tuple[Path, str], tuple[Path, Path]] = {}
    for source, output in jobs:
        other, _ = seen.setdefault((output.parent, volume_stem(output)), (source, output))
        if other.resolve() != source.resolve():
            raise UsageError(f"{other} and {source} would both be written to {output}; predict them into two folders")
    return list(seen.values())


def _require_apart(files: Sequence[Path], out: Path) -> None:
    for folder in {file.parent for file in files}:
        for place in (folder, mask_folder(folder)):
            if place is not None and place.resolve() == out.resolve():
                raise UsageError(f"predictions in {out} would lie among what is there already; choose another folder")


def _names_in(folder: Path) -> dict[Path, str]:
    try:
        return case_names(folder)
    except DataError:  # a file may be readable in a folder that is not
        return {}


def _refuse(one: Path, two: Path, output: Path) -> UsageError:
    if one.parent == two.parent and volume_stem(one) != volume_stem(two):
        return UsageError(
            f"{one} and {two} are two channels of one case, and one is read; give the files of the channel that the "
            "network was trained on"
        )
    return UsageError(f"{one} and {two} would both be written to {output}; predict them into two folders")


def left_out(inputs: Sequence[Path]) -> list[str]:
    """Say in a sentence for each folder of :func:`collect_jobs` which of its files are not read."""
    folders = dict.fromkeys(folder for path in inputs if path.is_dir() for folder in _folders(path))
    found = ((folder, unread_files(folder)) for folder in folders if volume_files(folder) or not is_dicom(folder))
    return [describe(folder, files) for folder, files in found if files]


def series_read(sources: Sequence[Path]) -> list[str]:
    """Say of volumes that are DICOM which series each is, where there was a choice, and what is not read."""
    series = [path for path in sources if suffix_of_name(path) is None and is_dicom(path)]
    if not series:
        return []
    from spine_ignite.volumes.dicom.dicom_reader import remarks

    return remarks(series)


def volumes_of(path: Path, series: Sequence[str] = ()) -> list[Path]:
    """Return the volumes that an input of :func:`collect_jobs` stands for.

    Raises:
        DataError: it is missing or holds no volumes.
        UsageError: series are asked for of what is not DICOM.
    """
    suffix = volume_suffix(path)
    if series or (suffix == DICOM and not path.is_dir()):
        if not is_dicom(path):
            raise UsageError(f"{path} is not DICOM, and --series is for DICOM alone")
        from spine_ignite.volumes.dicom.dicom_reader import volumes_in

        return volumes_in(path, tuple(series))
    if path.is_file():
        if suffix is None:
            raise DataError(no_volume(path))
        return [path]
    if not path.is_dir():
        raise DataError(f"input {path} does not exist")
    found = _found(path)
    if not found:
        others = left_out([path])
        raise DataError(f"folder {path} holds neither volumes nor a dataset{f': {others[0]}' if others else ''}")
    return found


def _found(path: Path) -> list[Path]:
    """The volumes in a folder, in a split of a dataset, or of a dataset."""
    found = [file for folder in _folders(path) for file in image_volumes(folder)]
    if found:
        return found
    try:
        images = image_files(path)
    except DataError:
        if is_dicom(path):  # why there is none among its series
            raise
        return []
    return images.get("test") or [file for files in images.values() for file in files]


def _folders(path: Path) -> list[Path]:
    """The folders whose volumes are meant by a folder: itself, a split's images, or a dataset's."""
    if image_volumes(path):
        return [path]
    if (path / "source").is_dir() and image_volumes(path / "source"):
        return [path / "source"]
    try:
        folders = image_folders(path)
    except DataError:
        return [path]
    if "test" in folders and image_volumes(folders["test"]):
        return [folders["test"]]
    return list(folders.values())
