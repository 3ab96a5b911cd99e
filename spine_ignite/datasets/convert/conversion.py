"""Convert a dataset from one layout into another: images as they are, masks in one scheme, splits and patients kept."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib

from spine_ignite.csv_files import csv_text
from spine_ignite.datasets.cases import Problem
from spine_ignite.datasets.checks import require_valid
from spine_ignite.datasets.convert.opened_source import Opened, open_source
from spine_ignite.datasets.convert.whole_folder import replaced_whole, write_record
from spine_ignite.datasets.convert.written_layout import IMAGES, Contents, Item, Place, Written, contrast_of
from spine_ignite.datasets.find_cases import find_cases
from spine_ignite.errors import DataError, RunError, UsageError, reason, suggest
from spine_ignite.files import write_atomically, write_text
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.labels.mapping import SchemeMap, map_scheme
from spine_ignite.names import counted
from spine_ignite.places import require_apart
from spine_ignite.version import __version__
from spine_ignite.volumes import nifti, reader
from spine_ignite.volumes.alignment import aligned
from spine_ignite.volumes.digests import volume_sha256
from spine_ignite.volumes.volume import STRICT, Reading, Volume, read_image, read_label, write_label_like

WRITTEN = {
    "nnunet": "to_nnunet:NnUNetRaw",
    "mrspineseg": "to_mrspineseg:MrSpineSegFolders",
    "bids": "to_bids:BidsFolders",
    "monai": "to_monai:DecathlonDatalist",
}
Progress = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written: the layout that was found, how many cases each part has, how many splits, and notes."""

    layout: str
    cases: dict[str, int]
    folds: int
    scheme: LabelScheme
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choices:
    """How a dataset is read and written; see :func:`.opened_source.open_source` for the first four.

    Args:
        layout: of the source; None: as it is recognised.
        masks: label scheme of its masks.
        split: a file of splits.
        patients: a rule of whose a case is.
        scheme: label scheme of the masks that are written; None: that of the source.
        contrast: of the images, as BIDS names it; None: what names tell.
        reading: what the files leave unsaid.
    """

    layout: str | None = None
    masks: str | None = None
    split: Path | None = None
    patients: str | None = None
    scheme: str | None = None
    contrast: str | None = None
    reading: Reading = STRICT


def convert(
    source: Path, folder: Path, to: str, choices: Choices | None = None, progress: Progress | None = None
) -> Conversion:
    """Write the dataset in ``source`` anew in ``folder``, which is whole afterwards or as it was before.

    Images in ``.nii.gz`` are copied byte for byte, others get the same voxels and affine. Masks are written on their
    image's grid, with the values of the scheme, or class indices where the layout wants no gaps.

    Args:
        source: a dataset in any layout that is read.
        folder: new, empty, or what an earlier conversion has made and nobody has changed.
        to: a key of :data:`WRITTEN`.
        choices: what is not as by default.
        progress: wraps the cases, to show how far it is.

    Raises:
        DataError: files are missing, cannot be read or contradict each other, or names clash in the new layout.
        UsageError: the layout, or a scheme, is not known, or the schemes have no structure in common.
        RunError: the folder cannot be written, or holds files of others.
    """
    choices = choices or Choices()
    require_apart({"DEST": folder}, {"SOURCE": source})
    layout = written_layout(to)
    opened = open_source(source, choices.layout, choices.masks, choices.split, choices.patients)
    target = load_scheme(choices.scheme) if choices.scheme is not None else opened.scheme
    mapping = map_scheme(opened.scheme, target)
    if not any(mapping.reached[1:]):
        raise UsageError(
            f"masks in the scheme '{opened.scheme.name}' have no structure of '{target.name}'; choose another --scheme"
        )
    contents = _planned(folder.name, layout, opened, _as_written(target, layout), choices.contrast)
    with replaced_whole(folder) as new:
        _write_cases(new, contents, mapping, choices.reading, progress, source)
        for name, text in _texts(layout, contents).items():
            write_text(new / name, text)
        write_record(new, _record(source, opened, to, contents))
        _require_readable(new, layout, contents)
    parts = {part: len(contents.of(part)) for part in ("train", "test")}
    notes = (*opened.notes, *_notes(mapping, opened.scheme, contents.scheme))
    return Conversion(opened.dataset.layout, parts, len(contents.folds), contents.scheme, notes)


def written_layout(name: str) -> Written:
    """Return a layout that can be written.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in WRITTEN:
        raise UsageError(f"there is no layout '{name}' to write.{suggest(name, WRITTEN)} Layouts: {', '.join(WRITTEN)}")
    module, _, kind = WRITTEN[name].partition(":")
    layout: Written = getattr(importlib.import_module(f"{__package__}.{module}"), kind)()
    return layout


def _as_written(scheme: LabelScheme, layout: Written) -> LabelScheme:
    """The scheme that written masks are in: one value a structure, without gaps if need be."""
    if not layout.consecutive:
        ignore = scheme.ignore[:1]
        return replace(scheme, classes=tuple(replace(c, merged=()) for c in scheme.classes), ignore=ignore)
    classes = tuple(replace(c, value=c.index, merged=()) for c in scheme.classes)
    return replace(scheme, classes=classes, ignore=(len(classes),) if scheme.ignore else ())


def _planned(title: str, layout: Written, opened: Opened, scheme: LabelScheme, contrast: str | None) -> Contents:
    items = tuple(
        Item(case, opened.patients[case.name], case.split, contrast or contrast_of(case.name))
        for case in opened.dataset.cases
    )
    places = tuple(layout.places(items))
    owners: dict[str, str] = {}
    for item, place in zip(items, places, strict=True):
        for file in (place.image, place.mask):
            other = owners.setdefault(file.lower(), item.case.name)
            if other != item.case.name:
                raise DataError(f"{other} and {item.case.name} would both be written to {file}; rename one of them")
    renamed = {item.case.name: place.name for item, place in zip(items, places, strict=True)}
    folds = tuple({side: [renamed[name] for name in names] for side, names in fold.items()} for fold in opened.folds)
    return Contents(title, items, places, scheme, folds, __version__)


def _texts(layout: Written, contents: Contents) -> dict[str, str]:
    rows = [(place.name, item.patient) for item, place in contents.pairs]
    files = layout.files(contents)
    return files if layout.layout == "bids" else {**files, "patients.csv": csv_text(("case", "patient"), rows)}


def _write_cases(
    folder: Path, contents: Contents, mapping: SchemeMap, reading: Reading, progress: Progress | None, source: Path
) -> None:
    problems: list[Problem] = []
    for item, place in progress(contents.pairs) if progress is not None else contents.pairs:
        try:
            _write_case(folder, item, place, contents.scheme, mapping, reading)
        except (RunError, UsageError):  # the folder cannot be written
            raise
        except Exception as error:  # whatever is wrong with one case, the others are told too
            problems.append(Problem(item.case.id, None, reason(error, item.case.image)))
    if problems:
        first = "; ".join(problem.message for problem in problems[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DataError(f"{counted(len(problems), 'case')} of {source} cannot be converted: {first}{more}")


def _write_case(
    folder: Path, item: Item, place: Place, scheme: LabelScheme, mapping: SchemeMap, reading: Reading
) -> None:
    volume = read_image(item.case.image, reading)
    told = volume.stored_affine is not None
    if told:  # the new file says what the old one did not
        volume = replace(volume, header=None, stored_affine=None)
    with write_atomically(folder / place.image) as temporary:
        if item.case.image.name.lower().endswith(IMAGES) and not told and volume.outside is None:
            shutil.copyfile(item.case.image, temporary)
        else:
            nib.save(nifti.image_like(_voxels(volume, item.case.image), volume.affine, volume.header), temporary)
    if item.case.label is not None:
        values = aligned(read_label(item.case.label, reading), volume)
        indices = mapping.indices(mapping.source.to_indices(values))
        write_label_like(folder / place.mask, scheme.to_values(indices), volume, scheme=scheme)


def _voxels(volume: Volume, path: Path) -> Any:
    """The voxels as they are stored; without NaN where these were read as a border."""
    if volume.outside is not None:
        return volume.array
    stored = reader.read(path, None).array
    return stored.astype("int32") if stored.dtype.kind in "iub" and stored.dtype.itemsize == 8 else stored


def _record(source: Path, opened: Opened, to: str, contents: Contents) -> dict[str, Any]:
    cases = []
    for item, place in contents.pairs:
        case = item.case
        entry = {"name": place.name, "was": case.name, "patient": item.patient, "part": item.part, "image": place.image}
        entry["image_was"] = volume_sha256(case.image)
        if case.label is not None:
            entry |= {"mask": place.mask, "mask_was": volume_sha256(case.label)}
        cases.append(entry)
    return {
        "format": 1,
        "version": contents.version,
        "source": source.resolve().name,
        "from": opened.dataset.layout,
        "to": to,
        "masks": opened.scheme.name,
        "scheme": contents.scheme.to_dict(),
        "cases": cases,
    }


def _require_readable(folder: Path, layout: Written, contents: Contents) -> None:
    """Find the new dataset as any command would: its cases must be those that were written."""
    found, problems = find_cases(folder, layout.layout)
    require_valid(folder, problems)
    wanted = {(place.name, item.part) for item, place in contents.pairs}
    seen = {(case.name, case.split) for case in found.cases}
    if wanted != seen:
        odd = sorted(wanted ^ seen)[0][0]
        raise DataError(f"{odd} would not be found again in this layout; give the case another name")


def _notes(mapping: SchemeMap, source: LabelScheme, written: LabelScheme) -> list[str]:
    notes = [note for _, note in mapping.notes]
    if mapping.without:
        notes.append(
            f"{', '.join(mapping.without)} of the scheme '{source.name}' are background now, where masks have them: "
            f"the scheme '{written.name}' does not tell them apart"
        )
    absent = [c.name for c, reached in zip(written.classes, mapping.reached, strict=True) if not reached]
    if absent:
        notes.append(f"no mask can hold {', '.join(absent)}, which the scheme '{source.name}' does not have")
    return notes
