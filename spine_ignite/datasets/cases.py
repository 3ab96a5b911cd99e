"""Find the image and label pairs of a dataset, in any layout that is registered, by case id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spine_ignite.datasets.case_ids import CHANNEL, bare_id, natural_order, without_channel
from spine_ignite.datasets.unread import describe, is_image, no_volume, stem_of, unread_files, unreadable
from spine_ignite.errors import DataError, UsageError
from spine_ignite.names import counted, printable
from spine_ignite.registry import Registered, load_registry
from spine_ignite.registry.origins import remembered
from spine_ignite.spec import Component
from spine_ignite.volumes.dicom.dicom_paths import is_dicom, is_slice_name
from spine_ignite.volumes.reader import suffix_of_name, suffixes, volume_stem


@dataclass(frozen=True, slots=True)
class Case:
    """One exam.

    Args:
        id: what image and mask have in common; :func:`case_id` gives it.
        name: the image's file name without suffix.
        image: its file.
        label: the mask's file; None: there is none.
        split: ``train`` or ``test``.
        dataset: name of the dataset, where there are several; see :mod:`.sources`.
    """

    id: str
    name: str
    image: Path
    label: Path | None
    split: str
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a layout has the images and masks of a split, to be paired by their names.

    Args:
        name: ``train`` or ``test``.
        images: folder of the images.
        labels: folder of the masks.
        labels_needed: whether an image without a mask is a problem.
        channels: whether names of images end in nnU-Net's channel (``_0000``); names are compared whole then.
    """

    name: str
    images: Path
    labels: Path
    labels_needed: bool = True
    channels: bool = False


_MASK_FOLDERS = {"source": "label", "images": "masks", "imagesTr": "labelsTr", "imagesTs": "labelsTs"}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a case or file, in a sentence; ``split`` says in which split, if in one only."""

    case: str
    file: Path | None
    message: str
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """The cases found under ``root``, sorted by split and id; ``notes`` says what is unusual but stops nothing."""

    root: Path
    layout: str
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()

    def split(self, name: str) -> tuple[Case, ...]:
        """Return the cases of ``"train"`` or ``"test"``."""
        return tuple(case for case in self.cases if case.split == name)


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
    others = (path for path in folder.iterdir() if not path.name.startswith(".") and suffix_of_name(path) is None)
    files += [path for path in others if (path.is_dir() or path.suffix.lower() == ".zip") and is_dicom(path)]
    return sorted(files, key=lambda path: natural_order(path.name.lower()))


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


def match_by_id(predictions: Sequence[Path], references: Sequence[Path]) -> dict[str, tuple[Path | None, Path | None]]:
    """Bring predictions and reference masks together by case id; nnU-Net's channel may stand in predictions' names.

    Returns:
        For each id its prediction and its reference, in natural order; None for what is lacking.

    Raises:
        DataError: two files of one side have the same id.
    """
    masks = {path: volume_stem(path) for path in references}
    problems: list[Problem] = []
    found = _by_id(without_channel({path: volume_stem(path) for path in predictions}, masks), False, problems)
    wanted = _by_id(masks, False, problems)
    if problems:
        raise DataError(f"{problems[0].file} {problems[0].message}")
    return {key: (found.get(key), wanted.get(key)) for key in sorted({*found, *wanted}, key=natural_order)}


def find_cases(root: Path, layout: str | None = None) -> tuple[Dataset, list[Problem]]:
    """Find all pairs under ``root`` and every pairing problem.

    Args:
        root: the dataset.
        layout: that it is in; default: the first that fits.

    Raises:
        DataError: ``root`` is missing, or holds none of the layouts, or not that one.
        UsageError: there is no such layout.
    """
    root = Path(root)
    if root.suffix.lower() == ".zip" and root.is_file() and not is_dicom(root):
        raise DataError(no_volume(root))
    if not root.is_dir() and not is_dicom(root):
        raise DataError(f"dataset folder {root} does not exist; expected {_layouts()}")
    item, found = _recognise(root) if layout is None else _as_said(root, layout)
    cases: list[Case] = []
    problems: list[Problem] = []
    notes: list[str] = []
    for part in found:
        if isinstance(part, Case):
            cases.append(part)
            continue
        paired, wrong = _pair(part)
        cases += paired
        wrong += _unread_cases(part)
        problems += [replace(problem, split=part.name) for problem in wrong]
        notes += [*_forgotten_masks(part, paired), *_unread(part)]
    notes += _series_read(cases)
    problems += _shared_ids(cases)
    if not cases and not problems:
        raise DataError(f"dataset folder {root} holds no volumes ({', '.join(suffixes())}); expected {_layouts()}")
    return Dataset(root, item.value.name, tuple(cases), tuple(notes)), problems


def layout_of(root: Path) -> Registered[Component]:
    """Return a dataset's layout.

    Raises:
        DataError: ``root`` holds none of the layouts.
        UsageError: it fits those of two plugins.
    """
    return _recognise(root)[0]


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


def _pair(split: Folders) -> tuple[list[Case], list[Problem]]:
    problems: list[Problem] = []
    masks = _names(split.labels, problems)
    names = _names(split.images, problems)
    if split.channels:
        names = without_channel(names, masks)
    images = _by_id(names, split.channels, problems)
    labels = _by_id(masks, split.channels, problems)
    cases = []
    for key in sorted(images, key=natural_order):
        if key not in labels and split.labels_needed:
            problems.append(Problem(key, images[key], f"has no mask in {split.labels}"))
            continue
        cases.append(Case(key, names[images[key]], images[key], labels.get(key), split.name))
    problems += [
        Problem(key, labels[key], f"is a mask without an image in {split.images}")
        for key in labels
        if key not in images
    ]
    return cases, problems


def _forgotten_masks(split: Folders, cases: Sequence[Case]) -> list[str]:
    """Say which masks a test split lacks; one without any is meant for prediction."""
    missing = [case.image.name for case in cases if case.label is None]
    if not missing or len(missing) == len(cases):
        return []
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return [
        f"{missing[0]}{more} of the {len(cases)} {split.name} images in {split.images} cannot be judged by: "
        f"{'they have' if more else 'it has'} no mask in {split.labels}"
    ]


def _series_read(cases: Sequence[Case]) -> list[str]:
    """Say which series are read of cases that are DICOM."""
    series = [case.image for case in cases if suffix_of_name(case.image) is None]
    if not series:
        return []
    from spine_ignite.volumes.dicom.dicom_reader import remarks

    return remarks(series)


def _unread(split: Folders) -> list[str]:
    found = ((folder, unread_files(folder)) for folder in (split.images, split.labels))
    return [describe(folder, files) for folder, files in found if files]


def _unread_cases(split: Folders) -> list[Problem]:
    """Images and masks in formats that are not read, of cases that lack them otherwise."""

    def key(stem: str) -> str:
        return CHANNEL.sub("", stem).lower() if split.channels else bare_id(stem)

    problems: dict[tuple[Path, str], Problem] = {}
    slices: Counter[Path] = Counter()  # whose names may be a patient's
    for folder in (split.images, split.labels):
        known = {key(volume_stem(path)) for path in volume_files(folder)} if folder.is_dir() else set()
        for path in filter(is_image, unread_files(folder)):
            case = key(stem_of(path))
            if case not in known and is_slice_name(path):
                slices[folder] += 1
            elif case not in known:
                problems.setdefault((folder, case), Problem(case, path, unreadable(path)))
    said = "holds {} of DICOM that no case reads; give each series a folder of its own, or move them out"
    lying = [Problem("", None, f"{place} {said.format(counted(n, 'file'))}") for place, n in slices.items()]
    return [*problems.values(), *lying]


def _names(folder: Path, problems: list[Problem]) -> dict[Path, str]:
    """Stems of the volumes in a folder; names go into tables, logs and pages, so they must be printable."""
    names = {}
    for path in image_volumes(folder) if folder.is_dir() else ():
        if path.name.isprintable():
            names[path] = volume_stem(path)
        else:
            message = "has a line break or another unprintable character in its name; rename it"
            problems.append(Problem(printable(path.name), path, message))
    return names


def _by_id(names: Mapping[Path, str], nnunet: bool, problems: list[Problem]) -> dict[str, Path]:
    seen: dict[str, Path] = {}
    for path, name in names.items():
        key = name.lower() if nnunet else bare_id(name)
        other = seen.setdefault(key, path)
        if other is not path:
            channels = [CHANNEL.search(volume_stem(file)) for file in (path, other)]
            if nnunet and all(channels):
                message = (
                    f"is a second channel of case '{key}' besides {other.name}, and networks here see one; keep the "
                    f"files of one channel in {path.parent.name} and move the others away"
                )
            else:
                message = f"has the same case id '{key}' as {other.name}; rename or remove one"
            problems.append(Problem(key, path, message))
    return seen


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
