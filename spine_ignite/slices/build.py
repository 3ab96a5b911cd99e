"""Build the slice store, or bring it up to date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.config import DataConfig
from spine_ignite.datasets.cases import Case, Dataset, Problem
from spine_ignite.datasets.checks import check_case, check_names, require_valid
from spine_ignite.datasets.sources import Source, find_all, source_of, sources_of
from spine_ignite.errors import DataError, RunError, UsageError, reason
from spine_ignite.files import write_text, write_with
from spine_ignite.labels import IGNORE, load_scheme
from spine_ignite.ownership import own_folder, remove_listed
from spine_ignite.places import require_apart
from spine_ignite.slices.exam_slices import prepare
from spine_ignite.slices.place import STORE_CONTENTS, store_folder, stores_of
from spine_ignite.slices.store import (
    FORMAT,
    MANIFEST,
    SliceStore,
    SourceFile,
    StoredCase,
    StoreSettings,
    delete_unless_read,
    format_manifest,
    open_store,
)
from spine_ignite.volumes.alignment import aligned
from spine_ignite.volumes.contrasts import contrast_of, read_contrasts
from spine_ignite.volumes.digests import parts_of, volume_sha256, voxels_sha256
from spine_ignite.volumes.geometry import SliceGrid
from spine_ignite.volumes.headers import file_size
from spine_ignite.volumes.volume import Reading, read_geometry, read_label, reading_of

Progress = Callable[[Sequence[Case]], Any]

# Written last into a finished case's folder, so that an interrupted build goes on where it was.
_FINISHED = "case.json"


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The store, how many of its cases were built, reused and removed, and what is unusual but stops no training."""

    store: SliceStore
    built: int
    reused: int
    removed: int
    notes: tuple[str, ...] = ()


def build_store(data: DataConfig, progress: Progress | None = None) -> BuildResult:
    """Convert the datasets of a configuration into a slice store, rebuilding only what has changed.

    A case is rebuilt when the content of its image or mask has changed; all are when the settings have (the default
    spacing, the median of the training cases, is one of them). The manifest is written last, so that until then
    readers see the former store; cases that an interrupted build has finished are not converted again. A store that is
    up to date is neither locked nor written, so that many runs can start on it at once, also on a read-only disk.
    A test case that cannot be used is left out and told: training does not need it.

    Raises:
        DataError: the training cases have problems; all are found before any is reported, and the former store is kept.
        RunError: the store cannot be written, its folder holds something else, or another process is writing it.
        UsageError: its folder is, holds or lies in the dataset, the home or the working folder.
    """
    scheme = load_scheme(data.scheme)
    if data.num_classes is not None and data.num_classes != scheme.num_classes:
        raise DataError(
            f"data.num_classes is {data.num_classes}, but the scheme '{scheme.name}' has {scheme.num_classes} classes"
        )
    sources = sources_of(data)
    dataset, problems = find_all(sources)
    misnamed, notes = check_names(sources)
    notes += [note for source in sources for note in source.notes()]
    dataset = replace(dataset, notes=(*dataset.notes, *notes))
    untested = [problem for problem in problems if problem.split == "test"]
    require_valid(data.root, [*misnamed, *(problem for problem in problems if problem not in untested)])
    spacing = data.spacing or _median_spacing(dataset, reading_of(data))
    rules = (data.clip_percentiles, data.border, data.orientation, data.nan, data.contrasts)
    settings = StoreSettings(scheme.to_dict(), spacing, *rules)
    store = SliceStore(store_folder(data), settings)
    require_apart({"data.cache": store.root}, data.roots, reserved=stores_of(data.root))
    current = _as_it_is(store, dataset, sources)
    if current is not None:
        return BuildResult(current, 0, len(current.cases), 0, (*dataset.notes, *_told(untested)))
    with own_folder(store.root, "store", "is preprocessing it"):
        return _bring_up_to_date(store, sources, dataset, untested, progress)


def _as_it_is(store: SliceStore, dataset: Dataset, sources: Sequence[Source]) -> SliceStore | None:
    """Return the store on disk if nothing has to be written."""
    former = _former(store)
    keys = [(case.split, case.name) for case in dataset.cases]
    if set(keys) != set(former):
        return None
    try:
        same = all(
            _unchanged(case, former[key], source_of(case, sources)) == former[key]
            for case, key in zip(dataset.cases, keys, strict=True)
        )
    except OSError:
        return None
    return replace(store, cases=tuple(former[key] for key in keys)) if same else None


def _bring_up_to_date(
    empty: SliceStore,
    sources: Sequence[Source],
    dataset: Dataset,
    untested: list[Problem],
    progress: Progress | None,
) -> BuildResult:
    former = _former(empty)
    cases: list[StoredCase] = []
    problems: list[Problem] = []
    made: set[str] = set()
    built = 0
    for case in progress(dataset.cases) if progress is not None else dataset.cases:
        known, source = former.get((case.split, case.name)), source_of(case, sources)
        try:
            current = _unchanged(case, known, source) if known is not None else None
            if current is None:
                current, converted = _convert(empty, case, source)
                made |= {current.folder} if converted else set()
                built += current.folder in made  # two cases of equal content share a folder; both are new
        except (RunError, UsageError):  # the store cannot be written
            raise
        except Exception as error:  # whatever is wrong with one case, the others are told too
            reading = Reading(empty.settings.orientation, empty.settings.nan)
            found = check_case(case, source.mapping.source, reading).problems or (
                Problem(case.id, None, reason(error, case.image)),
            )
            (untested if case.split == "test" else problems).extend(found)
            continue
        cases.append(current)
    require_valid(dataset.root, problems)
    store = replace(empty, cases=tuple(cases))
    write_text(store.root / MANIFEST, format_manifest(store))
    delete_unless_read(store, lambda: _remove_strays(store))
    removed = len(set(former) - {(case.split, case.name) for case in cases})
    return BuildResult(store, built, len(cases) - built, removed, (*dataset.notes, *_told(untested)))


def _told(untested: Sequence[Problem]) -> list[str]:
    return [f"test case {problem.case} is left out: {problem.file or 'it'} {problem.message}" for problem in untested]


def _former(empty: SliceStore) -> dict[tuple[str, str], StoredCase]:
    """Cases of the store on disk that are complete, if its settings are the same."""
    try:
        store = open_store(empty.root)
    except DataError:
        return {}
    if store.settings != empty.settings:
        return {}
    return {(case.split, case.name): case for case in store.cases if store.is_complete(case)}


def _median_spacing(dataset: Dataset, reading: Reading) -> tuple[float, float]:
    cases = dataset.split("train") or dataset.cases
    found = []
    for case in cases:
        try:
            found.append(SliceGrid.from_geometry(*read_geometry(case.image, reading)).native_spacing)
        except DataError:
            continue  # told with all other problems when the case is read
    if not found:
        return 1.0, 1.0
    rows, columns = np.median(np.array(found), axis=0)
    return round(float(rows), 4), round(float(columns), 4)


def _unchanged(case: Case, known: StoredCase, source: Source) -> StoredCase | None:
    """Return the stored case if its files are the same, with their new times if only these differ."""
    if (case.label is None) != (known.label is None) or source.key != known.masks or case.dataset != known.dataset:
        return None
    image = _same_file(case.image, known.image)
    label = _same_file(case.label, known.label) if case.label is not None and known.label is not None else None
    if image is None or (known.label is not None and label is None):
        return None
    contrasts = _same_contrasts(case, known)
    return None if contrasts is None else replace(known, image=image, label=label, contrasts=contrasts)


def _same_contrasts(case: Case, known: StoredCase) -> tuple[tuple[str, SourceFile], ...] | None:
    if case.images.keys() != known.images.keys():
        return None
    former = dict(known.contrasts)
    found = tuple((name, _same_file(path, former[name])) for name, path in case.contrasts)
    return None if any(file is None for _, file in found) else tuple((name, file) for name, file in found if file)


def _same_file(path: Path, known: SourceFile) -> SourceFile | None:
    size, mtime_ns = _state(path)
    if size != known.size:
        return None
    if mtime_ns == known.mtime_ns and str(path) == known.path:
        return known
    current = _describe(path)
    return current if current.sha256 == known.sha256 else None


def _describe(path: Path) -> SourceFile:
    return SourceFile(str(path), *_state(path), volume_sha256(path))


def _state(path: Path) -> tuple[int, int]:
    """Size of a volume's file, or files, and the latest time of change."""
    parts = parts_of(path)
    if path in parts:  # a series is no file
        file_size(path)  # refuses what is not a file, or is gone since it was found
    found = [part.stat() for part in parts]
    return sum(status.st_size for status in found), max(status.st_mtime_ns for status in found)


def _convert(store: SliceStore, case: Case, source: Source) -> tuple[StoredCase, bool]:
    """Read, check and convert one case; its arrays go into a folder named by the settings and its sources' content.

    Returns:
        The case, and whether it had to be converted: an interrupted build may have done so.
    """
    before = _states(case)
    image_file = _describe(case.image)
    label_file = _describe(case.label) if case.label is not None else None
    contrasts = tuple((name, _describe(path)) for name, path in case.contrasts)
    content: tuple[Any, ...] = (FORMAT, store.settings, image_file.sha256, label_file.sha256 if label_file else None)
    content += (source.key,) if source.key else ()
    if contrasts:
        first = contrast_of(case.image, case.images)
        content += (store.settings.contrasts, first, *((name, file.sha256) for name, file in contrasts))
    folder = Path(case.split) / hashlib.sha256(repr(content).encode()).hexdigest()[:16]
    finished = _finished(store, folder)
    if finished is not None:
        named = replace(finished, name=case.name, id=case.id, dataset=case.dataset)
        return replace(named, image=image_file, label=label_file, contrasts=contrasts), False
    settings = store.settings
    reading = Reading(settings.orientation, settings.nan)
    volume = read_contrasts(case.image, case.images, reading)
    mask = None
    if case.label is not None:
        mask = source.indices(aligned(read_label(case.label, reading), volume))
    keep = (mask > 0) & (mask != IGNORE) if mask is not None else None
    rules = (settings.contrasts, settings.spacing, settings.clip_percentiles, settings.border)
    slices, grid = prepare(volume, *rules, keep)
    label = grid.label_to_slices(mask) if mask is not None else None
    if _states(case) != before:  # else one content's arrays would lie under the checksum of another
        raise DataError(
            f"a file of case {case.name} was replaced while it was read; run `spine-ignite preprocess` again"
        )
    _save(store.root / folder / "image.npy", slices.astype(np.float16))
    if label is not None:
        _save(store.root / folder / "label.npy", label)
    counts = np.zeros(0, int)
    foreground = np.zeros(0, int)
    if label is not None:
        counts = np.bincount(label.ravel(), minlength=IGNORE)[: len(source.labelled)]
        foreground = np.flatnonzero(((label > 0) & (label != IGNORE)).any(axis=(1, 2)))
    stored = StoredCase(
        name=case.name,
        id=case.id,
        split=case.split,
        folder=folder.as_posix(),
        image=image_file,
        label=label_file,
        grid=grid,
        content=voxels_sha256(volume),
        foreground=tuple(int(i) for i in foreground),
        voxels=tuple(int(n) for n in counts),
        dataset=case.dataset,
        labelled=None if source.labels_all else tuple(np.flatnonzero(source.labelled).tolist()),
        masks=source.key,
        contrasts=contrasts,
        others=tuple(voxels_sha256(volume.others[name]) for name, _ in contrasts if name in volume.others),
    )
    write_text(store.root / folder / _FINISHED, json.dumps(stored.to_dict()))
    return stored, True


def _states(case: Case) -> list[tuple[int, ...]]:
    """What differs when one of the case's files has been written to or replaced."""
    found = [part.stat() for path in case.files for part in parts_of(path)]
    return [(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns) for status in found]


def _finished(store: SliceStore, folder: Path) -> StoredCase | None:
    try:
        text = (store.root / folder / _FINISHED).read_text(encoding="utf-8")
        case = StoredCase.from_dict(json.loads(text))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return case if store.is_complete(case) else None


def _save(path: Path, array: NDArray[Any]) -> None:
    write_with(path, lambda file: np.save(file, array, allow_pickle=False))


def _remove_strays(store: SliceStore) -> None:
    """Delete the arrays of no case, and what a killed process left half written; nothing that has another name."""
    kept = {store.root / case.folder for case in store.cases}
    with suppress(RunError):  # a link among them, say: they do no harm
        remove_listed(store.root, "store", STORE_CONTENTS, lambda path: path.parent in kept or path.name == MANIFEST)
