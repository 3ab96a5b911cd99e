"""Find the cases of a dataset, in any layout that is registered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from spine_ignite.datasets.cases import Case, Dataset, Folders, Problem
from spine_ignite.datasets.contrast_names import ContrastNames, channel_names
from spine_ignite.datasets.exams import TABLE, join_cases, no_contrast, notes_on, read_exams
from spine_ignite.datasets.pairing import pair_folders
from spine_ignite.datasets.unread import no_volume
from spine_ignite.datasets.volume_files import image_volumes
from spine_ignite.errors import DataError, UsageError
from spine_ignite.registry import Registered, load_registry
from spine_ignite.registry.origins import remembered
from spine_ignite.spec import Component
from spine_ignite.volumes.dicom.dicom_paths import is_dicom
from spine_ignite.volumes.reader import suffix_of_name, suffixes, volume_stem


def find_cases(root: Path, layout: str | None = None, contrasts: Sequence[str] = ()) -> tuple[Dataset, list[Problem]]:
    """Find all pairs under ``root`` and every pairing problem.

    Args:
        root: the dataset.
        layout: that it is in; default: the first that fits.
        contrasts: of an exam, whose images are one case (``data.contrasts``); none: each image is a case. A table
            ``contrasts.csv`` in the folder names them, whatever its layout; see :func:`.exams.read_exams`.

    Raises:
        DataError: ``root`` is missing, or holds none of the layouts, or not that one.
        UsageError: there is no such layout.
    """
    root = Path(root)
    if root.suffix.lower() == ".zip" and root.is_file() and not is_dicom(root):
        raise DataError(no_volume(root))
    if not root.is_dir() and not is_dicom(root):
        raise DataError(f"dataset folder {root} does not exist; expected {_layouts()}")
    if contrasts and (root / TABLE).is_file():
        cases = read_exams(root / TABLE, contrasts)
        notes = notes_on(cases, contrasts, (), root)
        return Dataset(root, f"table {TABLE}", tuple(cases), tuple(notes)), _shared_ids(cases)
    item, found = _recognise(root) if layout is None else _as_said(root, layout)
    names = _contrast_names(root, item.value.name, contrasts)
    cases, problems, notes = _paired(found, names)
    if names is not None:
        others = _of_no_contrast(found, names)
        if not cases and not problems and others:
            raise no_contrast(root, contrasts)
        notes += notes_on(cases, contrasts, others, root)
    notes += _series_read(cases)
    problems += _shared_ids(cases)
    if not cases and not problems:
        raise DataError(f"dataset folder {root} holds no volumes ({', '.join(suffixes())}); expected {_layouts()}")
    return Dataset(root, item.value.name, tuple(cases), tuple(notes)), problems


def _paired(
    found: Sequence[Folders] | Sequence[Case], names: ContrastNames | None
) -> tuple[list[Case], list[Problem], list[str]]:
    cases: list[Case] = []
    problems: list[Problem] = []
    notes: list[str] = []
    for part in found:
        if isinstance(part, Case):
            cases.append(part)
            continue
        paired, wrong, unusual = pair_folders(part, names)
        cases += paired
        problems += wrong
        notes += unusual
    if names is not None and all(isinstance(part, Case) for part in found):
        cases, problems = join_cases(cases, names)
    return cases, problems, notes


def _contrast_names(root: Path, layout: str, contrasts: Sequence[str]) -> ContrastNames | None:
    if not contrasts:
        return None
    return channel_names(contrasts, root) if layout == "nnunet" else ContrastNames(tuple(contrasts))


def _of_no_contrast(found: Sequence[Folders] | Sequence[Case], names: ContrastNames) -> list[Path]:
    files: list[Path] = []
    for part in found:
        if isinstance(part, Case):
            files.append(part.image)
        elif part.images.is_dir():
            files += image_volumes(part.images)
    return [path for path in files if names.tell(volume_stem(path)) is None]


def layout_of(root: Path) -> Registered[Component]:
    """Return a dataset's layout.

    Raises:
        DataError: ``root`` holds none of the layouts.
        UsageError: it fits those of two plugins.
    """
    return _recognise(root)[0]


def image_folders(root: Path) -> dict[str, Path]:
    """Return the folders of a dataset that hold images, by split; of a layout that names files there are none.

    Raises:
        DataError: ``root`` holds none of the layouts.
    """
    found = _recognise(root)[1]
    return {part.name: part.images for part in found if isinstance(part, Folders) and part.images.is_dir()}


def image_files(root: Path) -> dict[str, list[Path]]:
    """Return the images of a dataset by split, whether they have masks or not.

    Raises:
        DataError: ``root`` holds none of the layouts, or a folder cannot be read.
    """
    files: dict[str, list[Path]] = {}
    for part in _recognise(root)[1]:
        if isinstance(part, Case):
            files.setdefault(part.split, []).append(part.image)
        elif part.images.is_dir():
            files[part.name] = image_volumes(part.images)
    return files


def _recognise(root: Path) -> tuple[Registered[Component], list[Folders] | list[Case]]:
    """Return a dataset's layout, and what it finds: the core's layouts come first, in their order."""
    registry = load_registry()
    found: list[tuple[Registered[Component], list[Folders] | list[Case]]] = []
    for item in registry.components("layout"):
        seen = registry.choose("layout", f"{item.distribution.name}:{item.value.name}")(root)
        if seen is not None and item.distribution == registry.core:
            return item, seen
        if seen is not None:
            found.append((item, seen))
    if len(found) > 1:
        found = [(i, seen) for i, seen in found if remembered("layout", i.value.name) == i.distribution] or found
    if len(found) > 1:
        fitting = " and the ".join(f"dataset layout '{item.value.name}' of {item.distribution}" for item, _ in found)
        raise UsageError(f"dataset folder {root} fits the {fitting}; uninstall one")
    if not found:
        raise DataError(f"dataset folder {root} has no known layout; expected {_layouts()}")
    return found[0]


def _as_said(root: Path, layout: str) -> tuple[Registered[Component], list[Folders] | list[Case]]:
    registry = load_registry()
    found = registry.choose("layout", layout)(root)
    item = registry.component("layout", layout)
    if found is None:
        raise DataError(f"dataset folder {root} is not in the layout '{item.value.name}': {item.value.summary}")
    return item, found


def _layouts() -> str:
    *most, last = (item.value.summary for item in load_registry().components("layout"))
    return f"{', '.join(most)}, or {last}"


def _series_read(cases: Sequence[Case]) -> list[str]:
    """Say which series are read of cases that are DICOM."""
    series = [case.image for case in cases if suffix_of_name(case.image) is None]
    if not series:
        return []
    from spine_ignite.volumes.dicom.dicom_reader import remarks

    return remarks(series)


def _shared_ids(cases: Iterable[Case]) -> list[Problem]:
    first: dict[str, Case] = {}
    problems = []
    for case in cases:
        other = first.setdefault(case.id, case)
        if other.split != case.split:
            message = (
                f"has the same case id '{case.id}' as {other.image} in the {other.split} split; "
                "test cases must not be trained on"
            )
            problems.append(Problem(case.id, case.image, message))
    return problems
