"""Build the slice store, or bring it up to date."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spine_ignite.config import DataConfig
from spine_ignite.data.cases import Case, Dataset, Problem, find_cases
from spine_ignite.data.checks import grid_distance, require_valid
from spine_ignite.data.geometry import SliceGrid
from spine_ignite.data.intensity import prepare_image
from spine_ignite.data.slices import (
    MANIFEST,
    SliceStore,
    SourceFile,
    StoredCase,
    StoreSettings,
    open_store,
    write_manifest,
)
from spine_ignite.data.volumes import read_geometry, read_image, read_label
from spine_ignite.errors import DataError
from spine_ignite.files import write_text, write_with
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.locks import lock_folder

Progress = Callable[[Sequence[Case]], Any]


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The store, and how many of its cases were built, reused and removed."""

    store: SliceStore
    built: int
    reused: int
    removed: int


def store_folder(data: DataConfig) -> Path:
    """Return where the slice store of a configuration lies.

    That is ``data.cache`` if given, else a folder in the dataset, or in the working folder when the dataset is
    read-only; its name depends on the settings, so that two configurations do not rebuild each other's slices.
    """
    if data.cache is not None:
        return data.cache
    settings = repr((data.scheme, data.spacing, data.clip_percentiles))
    key = hashlib.sha256(settings.encode()).hexdigest()[:8]
    if os.access(data.root, os.W_OK):
        return data.root / ".spine-ignite-cache" / key
    where = hashlib.sha256(str(data.root.resolve()).encode()).hexdigest()[:8]
    return Path(".spine-ignite-cache") / f"{data.root.resolve().name}-{where}" / key


def build_store(data: DataConfig, progress: Progress | None = None) -> BuildResult:
    """Convert the dataset of a configuration into a slice store, rebuilding only what has changed.

    A case is rebuilt when the content of its image or mask has changed; all are when the settings have (the default
    spacing, the median of the training cases, is one of them). The manifest is written last, so that until then
    readers see the former store.

    Raises:
        DataError: the dataset has problems; all are found before any is reported, and the former store is kept.
        RunError: the store cannot be written, or another process is writing it.
    """
    scheme = load_scheme(data.scheme)
    if data.num_classes is not None and data.num_classes != scheme.num_classes:
        raise DataError(
            f"data.num_classes is {data.num_classes}, but the scheme '{scheme.name}' has {scheme.num_classes} classes"
        )
    dataset, problems = find_cases(data.root)
    require_valid(data.root, problems)
    spacing = data.spacing or _median_spacing(dataset)
    settings = StoreSettings(scheme.to_dict(), spacing, data.clip_percentiles)
    root = store_folder(data)
    with lock_folder(root, "is preprocessing it"):
        return _bring_up_to_date(root, settings, scheme, dataset, progress)


def _bring_up_to_date(
    root: Path, settings: StoreSettings, scheme: LabelScheme, dataset: Dataset, progress: Progress | None
) -> BuildResult:
    former = _former(root, settings)
    cases: list[StoredCase] = []
    problems: list[Problem] = []
    built = 0
    for case in progress(dataset.cases) if progress is not None else dataset.cases:
        known = former.get((case.split, case.name))
        current = _unchanged(case, known) if known is not None else None
        if current is None:
            try:
                current = _convert(root, case, settings, scheme)
                built += 1
            except DataError as error:
                problems.append(Problem(case.id, None, str(error)))
                continue
        cases.append(current)
    require_valid(dataset.root, problems)
    store = SliceStore(root, settings, tuple(cases))
    write_text(root / MANIFEST, write_manifest(store))
    removed = _remove_strays(root, {case.folder for case in cases}, former)
    return BuildResult(store, built, len(cases) - built, removed)


def _former(root: Path, settings: StoreSettings) -> dict[tuple[str, str], StoredCase]:
    """Cases of the store as it is, if its settings are the same."""
    try:
        store = open_store(root)
    except DataError:
        return {}
    return {(c.split, c.name): c for c in store.cases} if store.settings == settings else {}


def _median_spacing(dataset: Dataset) -> tuple[float, float]:
    cases = dataset.split("train") or dataset.cases
    found = []
    for case in cases:
        try:
            found.append(SliceGrid.from_geometry(*read_geometry(case.image)).native_spacing)
        except DataError:
            continue  # told with all other problems when the case is read
    if not found:
        return 1.0, 1.0
    rows, columns = np.median(np.array(found), axis=0)
    return round(float(rows), 4), round(float(columns), 4)


def _unchanged(case: Case, known: StoredCase) -> StoredCase | None:
    """Return the stored case if its files are the same, with their new times if only these differ."""
    if (case.label is None) != (known.label is None):
        return None
    image = _same_file(case.image, known.image)
    label = _same_file(case.label, known.label) if case.label is not None and known.label is not None else None
    if image is None or (known.label is not None and label is None):
        return None
    return replace(known, image=image, label=label)


def _same_file(path: Path, known: SourceFile) -> SourceFile | None:
    status = path.stat()
    if status.st_size != known.size:
        return None
    if status.st_mtime_ns == known.mtime_ns and str(path) == known.path:
        return known
    current = _describe(path)
    return current if current.sha256 == known.sha256 else None


def _describe(path: Path) -> SourceFile:
    status = path.stat()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)
    return SourceFile(str(path), status.st_size, status.st_mtime_ns, digest)


def _digest(file: Any) -> str:
    """``hashlib.file_digest`` for Python 3.10."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _convert(root: Path, case: Case, settings: StoreSettings, scheme: LabelScheme) -> StoredCase:
    """Read, check and convert one case; its arrays go into a folder named by their sources' content."""
    image_file = _describe(case.image)
    label_file = _describe(case.label) if case.label is not None else None
    volume = read_image(case.image)
    slices, grid = prepare_image(volume, settings.spacing, settings.clip_percentiles)
    label = None
    if case.label is not None:
        mask = read_label(case.label)
        if (
            mask.array.shape != volume.array.shape
            or grid_distance(volume.affine, mask.affine, volume.array.shape) > 0.1
        ):
            raise DataError(f"{case.label} and its image {case.image} differ in shape or affine; resample the mask")
        try:
            label = grid.label_to_slices(scheme.to_indices(mask.array))
        except DataError as error:
            raise DataError(f"{case.label}: {error}") from error
    key = hashlib.sha256(
        repr((image_file.sha256, label_file.sha256 if label_file else None, settings)).encode()
    ).hexdigest()[:16]
    folder = Path(case.split) / key
    half = slices.astype(np.float16)
    write_with(root / folder / "image.npy", lambda file: np.save(file, half, allow_pickle=False))
    if label is not None:
        indices = label
        write_with(root / folder / "label.npy", lambda file: np.save(file, indices, allow_pickle=False))
    voxels = np.bincount(label.ravel(), minlength=scheme.num_classes) if label is not None else np.zeros(0, int)
    foreground = np.flatnonzero(label.any(axis=(1, 2))) if label is not None else np.zeros(0, int)
    return StoredCase(
        name=case.name,
        id=case.id,
        split=case.split,
        folder=folder.as_posix(),
        image=image_file,
        label=label_file,
        grid=grid,
        foreground=tuple(int(i) for i in foreground),
        voxels=tuple(int(n) for n in voxels),
    )


def _remove_strays(root: Path, kept: set[str], former: dict[tuple[str, str], StoredCase]) -> int:
    """Delete the arrays of no case; a reader that has them mapped keeps them until it lets go."""
    for split in ("train", "test"):
        folder = root / split
        for path in folder.iterdir() if folder.is_dir() else ():
            if f"{split}/{path.name}" not in kept:
                shutil.rmtree(path, ignore_errors=True)
    return sum(case.folder not in kept for case in former.values())
