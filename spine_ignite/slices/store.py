"""The slice store: preprocessed cases as memory-mapped arrays, described by a manifest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.config.data import BorderRule, NanRule
from spine_ignite.errors import DataError, RunError
from spine_ignite.files import open_plain
from spine_ignite.labels import LabelScheme
from spine_ignite.volumes.contrasts import join_sha256
from spine_ignite.volumes.geometry import SliceGrid

try:
    import fcntl
except ImportError:  # Windows itself refuses to delete a file that is in use
    fcntl = None  # type: ignore[assignment]

FORMAT = 2
MANIFEST = "manifest.json"
_READERS = ".readers"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a case was built from: what tells whether it has changed."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredCase:
    """A preprocessed case.

    Args:
        name: the image's file name without suffix.
        id: the case id.
        split: ``train`` or ``test``.
        folder: where its arrays lie, relative to the store.
        image: the image file.
        label: the mask file, or None.
        grid: the way back to the original volume.
        content: SHA-256 of the image's voxels; see :func:`spine_ignite.volumes.digests.voxels_sha256`.
        foreground: slices that contain a structure.
        voxels: number of voxels of each class index.
        dataset: name of its dataset, where there are several; see :mod:`spine_ignite.datasets.sources`.
        labelled: class indices that its mask labels, the background among them; None: all of them.
        masks: how its mask was read, if not as it is; see :attr:`spine_ignite.datasets.sources.Source.key`.
        contrasts: names and files of the images of an exam, ``image`` among them; none: each image is a case.
        others: likewise, SHA-256 of the voxels of those but ``image``, in their order.
    """

    name: str
    id: str
    split: str
    folder: str
    image: SourceFile
    label: SourceFile | None
    grid: SliceGrid
    content: str
    foreground: tuple[int, ...] = ()
    voxels: tuple[int, ...] = ()
    dataset: str = ""
    labelled: tuple[int, ...] | None = None
    masks: str = ""
    contrasts: tuple[tuple[str, SourceFile], ...] = ()
    others: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Of its image file; of an exam, of all its images together."""
        return join_sha256(self.image.sha256, {name: file.sha256 for name, file in self.contrasts})

    @property
    def images(self) -> dict[str, Path]:
        """The file of each contrast; empty where each image is a case."""
        return {name: Path(file.path) for name, file in self.contrasts}

    @property
    def num_slices(self) -> int:
        """Number of slices."""
        return self.grid.num_slices

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of a slice."""
        return self.grid.size

    @property
    def ignored(self) -> int:
        """Number of voxels of the mask that count nowhere; 0 without a mask."""
        return self.num_slices * self.size[0] * self.size[1] - sum(self.voxels) if self.label is not None else 0

    @property
    def is_partial(self) -> bool:
        """Whether its mask leaves something open: classes that it does not label, or voxels to be ignored."""
        return self.labelled is not None or self.ignored > 0

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StoredCase:
        """Read what ``dataclasses.asdict`` made, by way of JSON.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the data is something else, or leads out of the store.
        """
        if Path(data["folder"]).is_absolute() or ".." in Path(data["folder"]).parts:
            raise ValueError(f"the arrays of {data['name']} are to lie in {data['folder']}")
        return cls(
            name=data["name"],
            id=data["id"],
            split=data["split"],
            folder=data["folder"],
            image=SourceFile(**data["image"]),
            label=SourceFile(**data["label"]) if data["label"] is not None else None,
            grid=SliceGrid.from_dict(data["grid"]),
            content=str(data["content"]),
            foreground=tuple(data["foreground"]),
            voxels=tuple(data["voxels"]),
            # Stores that older versions made are those of one dataset that labels all.
            dataset=data.get("dataset", ""),
            labelled=tuple(data["labelled"]) if data.get("labelled") is not None else None,
            masks=data.get("masks", ""),
            contrasts=tuple((str(name), SourceFile(**file)) for name, file in data.get("contrasts", ())),
            others=tuple(str(digest) for digest in data.get("others", ())),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for :meth:`from_dict`."""
        return _without_no_contrasts(asdict(self))


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What all cases of a store have in common; another value means another store.

    The fields but ``scheme`` are named and documented as in the configuration's section ``data``.
    """

    scheme: dict[str, Any]
    spacing: tuple[float, float]
    clip_percentiles: tuple[float, float]
    border: BorderRule
    orientation: str | None = None
    nan: NanRule = "refuse"
    contrasts: tuple[str, ...] = field(default=(), repr=False)  # what is written of a store without is as it always was

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a manifest."""
        return _without_no_contrasts(asdict(self))


def _without_no_contrasts(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in ("contrasts", "others") or value}


@dataclass(frozen=True)
class SliceStore:
    """Preprocessed cases under ``root``; arrays are mapped into memory when asked for.

    What is written into such an array stays in this process; the files do not change.
    """

    root: Path
    settings: StoreSettings
    cases: tuple[StoredCase, ...] = field(default_factory=tuple)

    @property
    def scheme(self) -> LabelScheme:
        """The label scheme of the masks."""
        return LabelScheme.from_dict(self.settings.scheme, source=str(self.root / MANIFEST))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the settings and of all source files' contents; equal data gives an equal fingerprint."""
        files = sorted(
            (c.split, c.name, c.sha256, c.label.sha256 if c.label else "", *([c.masks] if c.masks else []))
            for c in self.cases
        )
        return hashlib.sha256(json.dumps([self.settings.to_dict(), files], sort_keys=True).encode()).hexdigest()

    def split(self, name: str) -> list[StoredCase]:
        """Return the cases of ``train`` or ``test``, in order."""
        return [case for case in self.cases if case.split == name]

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of slices per split, for images (``source``) and masks (``label``)."""
        return {
            split: {
                "source": sum(case.num_slices for case in self.split(split)),
                "label": sum(case.num_slices for case in self.split(split) if case.label is not None),
            }
            for split in ("train", "test")
        }

    def duplicates(self) -> list[tuple[StoredCase, ...]]:
        """Groups of cases whose images are equal voxel for voxel; across splits they flatter a result."""
        groups: dict[str, list[StoredCase]] = {}
        for case in self.cases:
            groups.setdefault(case.content, []).append(case)
        return [tuple(group) for group in groups.values() if len(group) > 1]

    def image(self, case: StoredCase) -> NDArray[np.float16]:
        """Map a case's normalised slices, float16 ``(S, H, W)``; with contrasts ``(S, contrasts, H, W)``."""
        return self._map(case, "image.npy")

    def label(self, case: StoredCase) -> NDArray[np.uint8]:
        """Map a case's class indices, uint8 ``(S, H, W)``."""
        return self._map(case, "label.npy")

    def is_complete(self, case: StoredCase) -> bool:
        """Whether the arrays of a case are there, whole and of the right shape."""
        shape = (case.num_slices, *case.size)
        of_image = (case.num_slices, *([len(self.settings.contrasts)] if self.settings.contrasts else []), *case.size)
        try:
            return self.image(case).shape == of_image and (case.label is None or self.label(case).shape == shape)
        except DataError:
            return False

    def _map(self, case: StoredCase, name: str) -> NDArray[Any]:
        path = self.root / case.folder / name
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path} cannot be read; run `spine-ignite preprocess` again") from error
        return array


class ReaderHold:
    """Keeps the arrays of a store from being deleted while this object lives, also in processes forked from this one.

    A reader opens the arrays of many cases in turn; without a hold, a second process that brings the store up to date
    would delete what the reader is about to open again.
    """

    def __init__(self, store: SliceStore) -> None:
        self._descriptor: int | None = _lock_readers(store.root, shared=True)

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def delete_unless_read(store: SliceStore, delete: Callable[[], None]) -> None:
    """Call ``delete`` unless some :class:`ReaderHold` on the store lives, in this or another process."""
    descriptor = _lock_readers(store.root, shared=False)
    if descriptor is None:
        return
    try:
        delete()
    finally:
        os.close(descriptor)


def _lock_readers(root: Path, shared: bool) -> int | None:
    try:
        descriptor = open_plain(root / _READERS, os.O_RDWR | os.O_CREAT)
    except (OSError, RunError):  # a store that cannot be written: nobody deletes from it either
        return None
    try:
        if fcntl is not None:
            # A reader waits for a deletion that is going on, which is short: without a hold the next would hit it.
            fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def format_manifest(store: SliceStore) -> str:
    """Return the manifest of a store as JSON."""
    return json.dumps(
        {
            "format": FORMAT,
            "settings": store.settings.to_dict(),
            "cases": [case.to_dict() for case in store.cases],
        },
        indent=1,
    )


def open_store(root: Path) -> SliceStore:
    """Open a store that ``preprocess`` has written.

    Raises:
        DataError: there is none, or its manifest cannot be used.
    """
    path = Path(root) / MANIFEST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise DataError(
                f"{path} has format {data['format']}, this version reads {FORMAT}; delete it and preprocess again"
            )
        settings = StoreSettings(
            scheme=data["settings"]["scheme"],
            spacing=_pair(data["settings"]["spacing"]),
            clip_percentiles=_pair(data["settings"]["clip_percentiles"]),
            border=data["settings"]["border"],
            orientation=data["settings"]["orientation"],
            nan=data["settings"]["nan"],
            contrasts=tuple(str(name) for name in data["settings"].get("contrasts", ())),
        )
        return SliceStore(Path(root), settings, tuple(StoredCase.from_dict(case) for case in data["cases"]))
    except FileNotFoundError:
        raise DataError(f"there is no slice store in {root}; run `spine-ignite preprocess` first") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is corrupt; delete it and run `spine-ignite preprocess` again") from error


def _pair(values: Any) -> tuple[float, float]:
    first, second = values
    return float(first), float(second)
