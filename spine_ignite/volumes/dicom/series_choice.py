"""The series of a source, and which is meant where nobody says: the sagittal one that is most like a spine's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spine_ignite.errors import DataError, UsageError
from spine_ignite.names import counted
from spine_ignite.volumes.dicom.archives import Archive
from spine_ignite.volumes.dicom.dicom_headers import Image
from spine_ignite.volumes.dicom.stacks import Stack, stacks_of

ALL = "all"
_STUDY = re.compile(r"study-(\d+)")
_LEAST_SLICES = 4  # of a stack that a network for spines could be meant for
_T2_ECHO, _T2_REPETITION = 60.0, 1500.0  # ms: at least, of a T2-weighted spin echo
_PLANNING = {"LOCALIZER", "SCOUT", "SURVEY"}
_MADE = {"DERIVED", "SECONDARY", "PROJECTION IMAGE", "MPR", "MIP", "SUB"}
# What a description of a series may say and be shown: words of sequences, planes and regions, none of which is a name.
_VOCABULARY = """
t1 t2 t2w t1w pd pdw stir tirm tir flair dixon mdixon ideal tse fse frfse se gre ge fl2d fl3d tfe ffe spgr vibe
space cube vista haste ssfse trufi ciss fiesta epi dwi adc swi water fat in opp ip op w f dark fluid fs fatsat spair
spir sat sag sagittal cor coronal tra ax axial trans transversal oblique loc localizer scout survey c l lws bws hws
spine spinal lumbar lspine tspine cspine thoracic cervical neck sacrum total whole wirbelsaeule post pre km gd
contrast native mm 2d 3d iso mpr composed stitched stack rst restore blade propeller radial p2 p3 ns obl upper lower
top bottom mid
"""
_WORDS = frozenset(_VOCABULARY.split())


@dataclass(frozen=True, slots=True)
class Study:
    """The stacks of one study, by series number; ``images`` counts those that are in none."""

    number: int
    stacks: tuple[Stack, ...]
    loose: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a source holds: its studies, and how many of its files are DICOM that cannot be read."""

    archive: Archive
    studies: tuple[Study, ...]
    broken: int

    @property
    def path(self) -> Path:
        """The source."""
        return self.archive.path

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """All stacks."""
        return tuple(stack for study in self.studies for stack in study.stacks)

    def study_of(self, stack: Stack) -> Study:
        """Return the study of a stack."""
        return next(study for study in self.studies if any(stack is other for other in study.stacks))


def contents(
    archive: Archive, images: Sequence[Image], broken: int, same_pixels: Callable[[Image, Image], bool]
) -> Contents:
    """Sort the images of a source into studies and stacks, each stack with a key of its own."""
    studies = []
    by_study = _groups(images, lambda image: image.study)
    for ordinal, members in enumerate(by_study, 1):
        stacks: list[Stack] = []
        for series in _groups(members, lambda image: image.series):
            stacks += stacks_of(series, same_pixels)
        stacks.sort(key=lambda stack: (stack.first.number or 0, -len(stack.images)))
        prefix = f"{ordinal}." if len(by_study) > 1 else ""
        in_stacks = sum(len(stack.images) + stack.copies for stack in stacks)
        studies.append(Study(ordinal, tuple(_keyed(stacks, prefix)), len(members) - in_stacks))
    return Contents(archive, tuple(studies), broken)


def _groups(images: Iterable[Image], of: Callable[[Image], str]) -> list[list[Image]]:
    groups: dict[str, list[Image]] = {}
    for image in images:
        groups.setdefault(of(image), []).append(image)
    return list(groups.values())


def _keyed(stacks: Sequence[Stack], prefix: str) -> list[Stack]:
    numbers = [max(0, stack.first.number or 0) for stack in stacks]
    seen: Counter[int] = Counter()
    keyed = []
    for stack, number in zip(stacks, numbers, strict=True):
        letter = _letters(seen[number]) if numbers.count(number) > 1 else ""
        seen[number] += 1
        keyed.append(replace(stack, key=f"{prefix}{number}{letter}"))
    return keyed


def _letters(index: int) -> str:
    """Count in letters: a to z, then aa."""
    return (_letters(index // 26 - 1) if index >= 26 else "") + chr(ord("a") + index % 26)


def sagittal(stacks: Iterable[Stack]) -> list[Stack]:
    """Return the sagittal stacks that a spine may be in, the likeliest first.

    Before others come those of MR, those that the scanner measured rather than computed, T2-weighted ones, and those of
    more slices; a series of a smaller number comes before one of a greater.
    """
    found = [stack for stack in stacks if stack.plane == "sagittal" and len(stack.images) >= _LEAST_SLICES]
    return sorted((stack for stack in found if not _PLANNING & set(stack.first.kind)), key=_rank)


def _rank(stack: Stack) -> tuple[object, ...]:
    first = stack.first
    words = set(_words(first.description))
    is_t2 = (
        first.echo_time >= _T2_ECHO and first.repetition_time >= _T2_REPETITION and not words & {"stir", "tirm", "tir"}
    )
    made = bool(_MADE & set(first.kind))
    return first.modality != "MR", made, bool(words & _LOCALIZERS), not is_t2, -len(stack.images), first.number or 0


_LOCALIZERS = {"loc", "localizer", "scout", "survey"}


def choose(found: Contents, key: str | None) -> Stack:
    """Return the stack that is meant by the key of a path; see :mod:`.dicom_paths`.

    Raises:
        DataError: there is no series of that key, none that is sagittal, or there are several studies and no key.
    """
    path = found.path
    study = _STUDY.fullmatch(key) if key is not None else None
    if key is not None and study is None:
        for stack in found.stacks:
            if stack.key == key:
                return stack
        raise DataError(f"{path} has no series {key}; it has {_listed(found.stacks)}")
    studies = [s for s in found.studies if study is None or s.number == int(study.group(1))]
    if not studies:
        raise DataError(f"{path} has no {key}; the last one is study-{len(found.studies)}")
    if len(studies) > 1:
        raise DataError(f"{path} has {len(studies)} studies; say which with {path.name}#study-1, or give their folders")
    candidates = sagittal(studies[0].stacks)
    if not candidates:
        raise DataError(
            f"{path} has no sagittal series of at least {_LEAST_SLICES} slices, but {_listed(studies[0].stacks)}; "
            "say which is meant with --series"
        )
    return candidates[0]


def keys_of(found: Contents, wanted: Sequence[str]) -> list[str | None]:
    """Return the keys of what is meant by a source: for each study what is chosen of it, or the series that are wanted.

    Args:
        found: what the source holds.
        wanted: keys of series, or :data:`ALL` for all that are sagittal.

    Raises:
        DataError: a series is not there, or no study has a sagittal one.
        UsageError: ``wanted`` names something else than series.
    """
    for key in wanted:
        if key != ALL and not re.fullmatch(r"(\d+\.)?\d+[a-z]*", key):
            raise UsageError(f"--series {key} is no series; give its number, as 4, or {ALL}")
    if wanted and ALL not in wanted:
        return [choose(found, key).key for key in dict.fromkeys(wanted)]
    if wanted:
        keys: list[str | None] = [s.key for study in found.studies for s in sagittal(study.stacks)]
        return keys or [choose(found, None).key]
    if len(found.studies) == 1:
        choose(found, None)
        return [None]
    usable = [study for study in found.studies if sagittal(study.stacks)]
    if not usable:
        raise DataError(f"{found.path} has {len(found.studies)} studies, of which none has a sagittal series")
    return [f"study-{study.number}" for study in usable]


def shown(stack: Stack) -> str:
    """Say which series a stack is, by number, and by its description if that is known to name nobody."""
    said = stack.first.description.strip()
    return f"series {stack.key} '{said}'" if _names_nobody(said) else f"series {stack.key}"


def _names_nobody(text: str) -> bool:
    """Whether a text is words of :data:`_WORDS` and at most one short number: three make a date of birth."""
    if not text.isascii() or not text.isprintable() or len(text) > 64:  # other letters would be no words here
        return False
    words = _words(text)
    others = [word for word in words if word not in _WORDS]
    return len(others) < len(words) and len(others) <= 1 and all(word.isdigit() and len(word) <= 2 for word in others)


def _words(description: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", description.lower()) if word]


def _listed(stacks: Sequence[Stack]) -> str:
    if not stacks:
        return "no images that say where in the patient they are"
    said = [f"{stack.key} ({stack.plane}, {counted(len(stack.images), 'slice')})" for stack in stacks[:8]]
    return f"series {', '.join(said)}{' and more' if len(stacks) > 8 else ''}"


def remarks(found: Contents, stack: Stack, key: str | None) -> list[str]:
    """Say which series is read of a source and what of it is not, where there is a choice or something is left out."""
    study = found.study_of(stack)
    said = []
    if len(study.stacks) > 1 and (key is None or key.startswith("study")):
        rest = len(sagittal(study.stacks)) - 1
        which = "the only sagittal one" if not rest else f"the first choice of {rest + 1} sagittal ones"
        where = str(found.path) if len(found.studies) == 1 else f"study {study.number} of {found.path}"
        said.append(
            f"of the {len(study.stacks)} series in {where}, {shown(stack)} is read, {which} "
            f"({counted(len(stack.images), 'slice')}); --series takes others"
        )
    if stack.copies:
        said.append(
            f"{found.path}: {counted(stack.copies, 'image')} of {shown(stack)} left out that were there already"
        )
    if stack.first.announced > len(stack.images):
        said.append(
            f"{found.path}: {shown(stack)} speaks of {stack.first.announced} images and has {len(stack.images)}; it "
            "may be cut off"
        )
    return said


def about(found: Contents) -> list[str]:
    """Say what of a source is not read at all: damaged files, missing ones, studies without a sagittal series."""
    said = []
    if found.broken:
        said.append(f"{found.path}: {counted(found.broken, 'file')} of DICOM cannot be read: truncated or corrupt")
    if found.archive.missing:
        said.append(f"{found.path} names {counted(found.archive.missing, 'file')} more than are there")
    without = [study for study in found.studies if not sagittal(study.stacks)]
    if len(found.studies) > 1 and without:
        numbers = ", ".join(str(study.number) for study in without)
        which = f"study {numbers} has" if len(without) == 1 else f"studies {numbers} have"
        said.append(f"{found.path}: {which} no sagittal series")
    return said
