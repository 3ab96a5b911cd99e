"""What a converted dataset holds, and what a layout that is written has to say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from spine_ignite.datasets.bids import bids_name
from spine_ignite.datasets.cases import Case
from spine_ignite.labels import LabelScheme

IMAGES = ".nii.gz"  # the ending of all volumes that are written
SPLITS = "splits_final.json"

_CONTRASTS = {"t1": "T1w", "t2": "T2w", "pd": "PDw"}


@dataclass(frozen=True, slots=True)
class Item:
    """A case that is to be written.

    Args:
        case: as it was found; its ``split`` is the part that it had.
        patient: whose it is.
        part: that it will be of.
        contrast: as BIDS names it (``T2w``); None if its name does not tell.
    """

    case: Case
    patient: str
    part: str
    contrast: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case is written: its name in the new dataset, and the files of image and mask below the folder."""

    name: str
    image: str
    mask: str


@dataclass(frozen=True, slots=True)
class Contents:
    """The new dataset.

    Args:
        title: its name.
        items: its cases.
        places: where each lies.
        scheme: the values in its masks.
        folds: its splits, ``train`` and ``val`` by the cases' new names.
        version: of this program.
    """

    title: str
    items: tuple[Item, ...]
    places: tuple[Place, ...]
    scheme: LabelScheme
    folds: tuple[Mapping[str, Sequence[str]], ...]
    version: str

    @property
    def pairs(self) -> list[tuple[Item, Place]]:
        """Each case with where it lies."""
        return list(zip(self.items, self.places, strict=True))

    def of(self, part: str) -> list[tuple[Item, Place]]:
        """Return the cases of ``train`` or ``test``."""
        return [pair for pair in self.pairs if pair[0].part == part]

    def split_files(self) -> dict[str, str]:
        """Return the splits as nnU-Net's file of them, by its name; nothing if there are none."""
        return {SPLITS: as_json(self.folds)} if self.folds else {}

    @property
    def contrast(self) -> str:
        """The contrast of all images, ``MRI`` if they differ or do not tell."""
        found = {item.contrast for item in self.items}
        return (next(iter(found)) if len(found) == 1 else None) or "MRI"


class Written(Protocol):
    """A layout that is written."""

    layout: str  # of those that are read, what finds the dataset again
    consecutive: bool  # whether masks must hold 0, 1, 2 … without gaps

    def places(self, items: Sequence[Item]) -> list[Place]:
        """Return where each case is written.

        Raises:
            DataError: the cases cannot be named in this layout; the message says why.
        """
        ...

    def files(self, contents: Contents) -> dict[str, str]:
        """Return the text files beside the volumes, by their paths below the folder."""
        ...


def decathlon_places(items: Sequence[Item], channel: str = "") -> list[Place]:
    """Return places in ``imagesTr``, ``labelsTr``, ``imagesTs`` and ``labelsTs``, where cases keep their names.

    Args:
        items: the cases.
        channel: what names of images have beyond those of their masks.
    """
    ends = {"train": "Tr", "test": "Ts"}
    named = [(item.case.name, ends[item.part]) for item in items]
    return [Place(name, f"images{end}/{name}{channel}{IMAGES}", f"labels{end}/{name}{IMAGES}") for name, end in named]


def as_json(data: Any) -> str:
    """Return the text of a JSON file."""
    return json.dumps(data, indent=1) + "\n"


def contrast_of(name: str) -> str | None:
    """Return the contrast that a case's name tells, as BIDS names it: ``T2w`` of ``12_t2_SPACE``."""
    known = bids_name(name)
    if known is not None and known.suffix.endswith("w"):
        return known.suffix
    found = re.search(r"(?:^|[_.-])(t1|t2|pd)w?(?=$|[_.-])", name.lower())
    return _CONTRASTS[found[1]] if found is not None else None
