"""BIDS: images in ``sub-*/anat``, their masks in ``derivatives/*/sub-*/anat`` as ``*_dseg``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spine_ignite.datasets.case_ids import natural_order
from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.patients import read_table
from spine_ignite.errors import DataError
from spine_ignite.volumes.reader import volume_stem, volume_suffix

PARTICIPANTS = "participants.tsv"
SUFFIXES = ("T1w", "T2w", "PDw", "T2starw", "inplaneT1", "inplaneT2", "PDT2", "FLAIR")
_MASKS = ("dseg",)
_OF_MASKS = ("space", "res", "den", "label", "desc", "seg")  # entities that a mask has beyond its image's


@dataclass(frozen=True, slots=True)
class BidsName:
    """A file name of BIDS: entities, such as ``sub`` and ``acq``, and the suffix, such as ``T2w``."""

    entities: tuple[tuple[str, str], ...]
    suffix: str

    @property
    def of_image(self) -> tuple[tuple[str, str], ...]:
        """The entities that a mask shares with its image."""
        return tuple(entity for entity in self.entities if entity[0] not in _OF_MASKS)


def bids_name(stem: str) -> BidsName | None:
    """Return the parts of a file name without ending, None if it is none of BIDS."""
    *pairs, suffix = stem.split("_")
    entities = [re.fullmatch(r"([a-z]+)-([A-Za-z0-9+]+)", pair) for pair in pairs]
    if not pairs or any(entity is None for entity in entities) or not re.fullmatch(r"[A-Za-z0-9]+", suffix):
        return None
    return BidsName(tuple((e[1], e[2]) for e in entities if e is not None), suffix)


def find(root: Path) -> list[Case] | None:
    """Return the cases of a BIDS dataset; None for a folder that is none.

    A case is of the part that the column ``split`` of ``participants.tsv`` says, ``train`` or ``test``; by default it
    is for training if it has a mask.

    Raises:
        DataError: a mask fits several images, or an image has several masks.
    """
    images = list(_anatomical(root))
    if not images:
        return None
    masks = [found for folder in sorted((root / "derivatives").glob("*/")) for found in _anatomical(folder)]
    labels = _masks_of(root, images, [(path, name) for path, name in masks if name.suffix in _MASKS])
    parts = _parts(root / PARTICIPANTS)
    cases = []
    for path, name in images:
        if name.suffix in SUFFIXES:
            label = labels.get(path)
            part = parts.get(f"sub-{dict(name.entities)['sub']}") or ("train" if label is not None else "test")
            stem = volume_stem(path)
            cases.append(Case(stem.lower(), stem, path, label, part))
    return sorted(cases, key=lambda case: (case.split, natural_order(case.id))) or None


def _anatomical(root: Path) -> Iterator[tuple[Path, BidsName]]:
    for folder in sorted([*root.glob("sub-*/anat"), *root.glob("sub-*/ses-*/anat")]):
        for path in sorted(folder.iterdir()):
            name = (bids_name(volume_stem(path)) or _of_two(volume_stem(path))) if volume_suffix(path) else None
            if name is not None and name.entities[0][0] == "sub":
                yield path, name


def _of_two(stem: str) -> BidsName | None:
    """``sub-1_T2w_dseg``, with two suffixes, is no name of BIDS, but many tools for the cord write such."""
    image = bids_name(stem.removesuffix("_dseg"))
    return BidsName((*image.entities, ("desc", image.suffix)), "dseg") if image is not None else None


def _masks_of(
    root: Path, images: Sequence[tuple[Path, BidsName]], masks: Sequence[tuple[Path, BidsName]]
) -> dict[Path, Path]:
    found: dict[Path, Path] = {}
    for path, name in masks:
        image = _image_of(root, images, path, name)
        if image is None:
            raise DataError(f"{path} is a mask without an image in {root}; remove it, or add its image")
        if found.setdefault(image, path) is not path:
            raise DataError(f"{image} has two masks, {found[image]} and {path}; keep one")
    return found


def _image_of(root: Path, images: Sequence[tuple[Path, BidsName]], path: Path, name: BidsName) -> Path | None:
    """The image that a mask's JSON names as its source, else the only one with its entities, else that of its desc."""
    sources = _sources(path)
    named = [image for image, _ in images if image.relative_to(root).as_posix() in sources]
    same = [(image, other) for image, other in images if other.of_image == name.of_image and other.suffix in SUFFIXES]
    if len(same) > 1:
        same = [(image, other) for image, other in same if other.suffix == dict(name.entities).get("desc")] or same
    found = named[:1] or [image for image, _ in same]
    if len(found) > 1:
        both = " and ".join(image.name for image in found[:2])
        raise DataError(f"{path} may be the mask of {both}; name its image in its JSON file (Sources)")
    return found[0] if found else None


def _sources(path: Path) -> list[str]:
    try:
        data = json.loads(path.with_name(f"{volume_stem(path)}.json").read_text(encoding="utf-8"))
        listed = data.get("Sources", [])
        return [re.sub(r"^bids:\w*:", "", text) for text in listed if isinstance(text, str)]
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return []


def _parts(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        rows = read_table(path, ("participant_id", "split"))
    except DataError:  # most have no such column
        return {}
    wrong = next((f"{who} into '{part}'" for who, part in rows if part not in ("train", "test", "n/a")), None)
    if wrong is not None:
        raise DataError(f"{path} puts {wrong}; expected train or test in the column 'split'")
    return {who: part for who, part in rows if part != "n/a"}
