"""What a dataset consists of: cases, found by a layout or paired from its folders, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
        contrasts: names and files of the images of an exam (``data.contrasts``), ``image`` among them, which gives the
            grid; none: each image is a case.
    """

    id: str
    name: str
    image: Path
    label: Path | None
    split: str
    dataset: str = ""
    contrasts: tuple[tuple[str, Path], ...] = ()

    @property
    def images(self) -> dict[str, Path]:
        """The file of each contrast that is there; empty where each image is a case."""
        return dict(self.contrasts)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files: the image, the mask, further contrasts."""
        others = (path for _, path in self.contrasts if path != self.image)
        return (self.image, *((self.label,) if self.label is not None else ()), *others)


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
