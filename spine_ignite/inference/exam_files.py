"""Which files are the contrasts of an exam that is predicted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from spine_ignite.datasets.case_ids import bare_id
from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.contrast_names import ContrastNames, channel_names, names_in_folder
from spine_ignite.datasets.exams import TABLE, notes_on_missing, notes_on_others, read_exams
from spine_ignite.datasets.volume_files import image_volumes
from spine_ignite.errors import DataError, UsageError, suggest
from spine_ignite.inference.channel_numbers import notes_on_numbers
from spine_ignite.inference.inputs import collect_jobs, exam_jobs, volumes_of
from spine_ignite.labels import dataset_json
from spine_ignite.runs.contrast_record import Numbers
from spine_ignite.volumes.contrasts import Files
from spine_ignite.volumes.reader import volume_stem

Value = TypeVar("Value")
Exams = Mapping[Path, Files]  # of the image that gives the grid
NO_EXAMS: Exams = {}


@dataclass(frozen=True, slots=True)
class Collected:
    """What is to be predicted.

    Args:
        jobs: pairs of an image and the label volume to write.
        exams: of images that have further contrasts, or are one of a network's.
        notes: what is missing or not used, a sentence each.
    """

    jobs: list[tuple[Path, Path]]
    exams: Exams
    notes: tuple[str, ...] = ()


def exams_of(cases: Sequence[Case]) -> Exams:
    """Return the exams of cases, by their images; those that are one image are none.

    Raises:
        DataError: an image is of two exams.
    """
    return joined([{case.image: case.images} for case in cases if case.contrasts])


def joined(parts: Iterable[Exams]) -> Exams:
    """Return exams together.

    Raises:
        DataError: an image is of two of them, which differ.
    """
    exams: dict[Path, Files] = {}
    for image, files in ((image, files) for part in parts for image, files in part.items()):
        other = exams.setdefault(image, files)
        if other != files:
            beside = [path for path in (*other.values(), *files.values()) if path != image]
            raise DataError(
                f"{image} is given in two exams, with {' and '.join(map(str, beside))}; each image is of one exam"
            )
    return exams


def collect(
    contrasts: Sequence[str],
    inputs: Sequence[Path],
    out: Path,
    series: Sequence[str] = (),
    named: Mapping[str, Path] | None = None,
    trained: Sequence[Numbers] = (),
) -> Collected:
    """Find what is to be predicted by networks, by what they see.

    Those of one image get every volume, see :func:`.inputs.collect_jobs`. Those of several contrasts get exams: the
    images in a folder whose names differ in the contrast alone, the rows of a table, or what is named one by one. The
    first contrast of the network that is there gives the grid of the labels, or the one input beside named ones.

    Args:
        contrasts: that the networks see; none: one image.
        inputs: as there; or tables of :func:`spine_ignite.datasets.exams.read_exams` (``.csv``).
        out: folder of the outputs.
        series: of DICOM, which are read.
        named: files by contrast, of one exam; beside them at most one input.
        trained: how the files that the networks were trained on were numbered; see :mod:`.channel_numbers`.

    Raises:
        DataError: an input is missing, or of none of the contrasts.
        UsageError: a contrast is none of the network's, or given twice; or as there.
    """
    if not contrasts:
        if named:
            raise UsageError(
                f"the network sees one image, and no contrasts such as {next(iter(named))}; give that alone"
            )
        return Collected(collect_jobs(inputs, out, series), NO_EXAMS)
    others: list[Path] = []
    notes: list[str] = []
    if named:
        cases = [one_exam(contrasts, inputs, named)]
    else:
        tables = [table for path in inputs if (table := _table(path)) is not None]
        files = [file for path in inputs if _table(path) is None for file in volumes_of(path, series)]
        cases = [case for table in tables for case in _asked(read_exams(table, contrasts), whole=table in inputs)]
        naming = {folder: _names(folder, contrasts, files) for folder in sorted({file.parent for file in files})}
        notes += notes_on_numbers(naming, trained)
        cases += _grouped(files, contrasts, naming, others)
    if not cases:
        names = ", ".join(contrasts)
        first = others[0].name if others else str(inputs[0])
        raise DataError(
            f"the network sees the contrasts {names}, and which one {first} is cannot be told: let names of files end "
            f"in _{contrasts[0]} and so on, give a table (CSV: case, contrast, image), or say --contrast "
            f"{contrasts[0]}=FILE"
        )
    notes += [*notes_on_missing(cases, contrasts), *notes_on_others(others, contrasts)]
    return Collected(exam_jobs(cases, out), exams_of(cases), tuple(notes))


def one_exam(contrasts: Sequence[str], inputs: Sequence[Path], named: Mapping[str, Path]) -> Case:
    """Return the exam of images that are named one by one; of one input beside them it is found out which it is.

    Raises:
        UsageError: a contrast is none of the network's, or it cannot be found out.
    """
    files = by_contrast(named, contrasts)
    names = ContrastNames(tuple(contrasts))
    if len(inputs) > 1:
        raise UsageError(f"contrasts are named of one exam, and {len(inputs)} inputs are given; give one, or a table")
    if inputs:
        image, left = inputs[0], [name for name in contrasts if name not in files]
        told = names.tell(volume_stem(image))
        own = told[0] if told is not None else left[0] if len(left) == 1 else None
        if own in files:
            raise UsageError(
                f"{image} is {own} by its name, and so is {files[own]}; if it is another contrast, say which: "
                f"--contrast NAME={image}"
            )
        if own is None:
            example = (left or list(contrasts))[0]
            raise UsageError(f"which contrast {image} is cannot be told; give it as --contrast {example}={image}")
        files[own] = image
    first = inputs[0] if inputs else next(files[name] for name in contrasts if name in files)
    told = names.tell(volume_stem(first))
    name = told[1] if told is not None else volume_stem(first)
    there = tuple((contrast, files[contrast]) for contrast in contrasts if contrast in files)
    for _, path in there:
        volumes_of(path)  # tells what is missing or no volume
    return Case(bare_id(name), name, first, None, "test", "", there)


def by_contrast(named: Mapping[str, Value], contrasts: Sequence[str]) -> dict[str, Value]:
    """Return what is given of each contrast, called as the network calls it.

    Raises:
        UsageError: a contrast is none of the network's, or given twice.
    """
    found: dict[str, Value] = {}
    for name, value in named.items():
        known = known_contrast(name, contrasts)
        if known in found:
            raise UsageError(f"the contrast {known} is given twice, also as '{name}'; give it once")
        found[known] = value
    return found


def known_contrast(name: str, contrasts: Sequence[str]) -> str:
    """Return a network's contrast, whatever the capitals that it is given in.

    Raises:
        UsageError: it is none of the network's.
    """
    for known in contrasts:
        if known.lower() == name.lower():
            return known
    sees = ", ".join(contrasts) or "one image"
    raise UsageError(f"the network sees no contrast '{name}'.{suggest(name, contrasts)} It sees {sees}")


def _table(path: Path) -> Path | None:
    table = path / TABLE if path.is_dir() else path
    return table if table.suffix.lower() == ".csv" and table.is_file() else None


def _asked(cases: list[Case], *, whole: bool) -> list[Case]:
    """Of a table all cases; of a dataset with one, as of any, those for testing, or all if there are none."""
    return cases if whole else [case for case in cases if case.split == "test"] or cases


def _grouped(
    files: Sequence[Path], contrasts: Sequence[str], naming: Mapping[Path, ContrastNames], others: list[Path]
) -> list[Case]:
    """The exams of files, of one folder each; those that are none of the contrasts go to ``others``."""
    exams: dict[tuple[Path, str], tuple[str, dict[str, Path]]] = {}
    for file in files:
        told = naming[file.parent].tell(volume_stem(file))
        if told is None:
            others.append(file)
            continue
        contrast, name = told
        _, images = exams.setdefault((file.parent, name.lower()), (name, {}))
        other = images.setdefault(contrast, file)
        if other != file:
            raise DataError(f"{other} and {file} are both {contrast} of {name}; keep one, or give a table")
    cases = []
    for name, images in exams.values():
        there = tuple((contrast, images[contrast]) for contrast in contrasts if contrast in images)
        cases.append(Case(bare_id(name), name, there[0][1], None, "test", "", there))
    return cases


def _names(folder: Path, contrasts: Sequence[str], files: Sequence[Path]) -> ContrastNames:
    """How files of a folder are called: those of nnU-Net by its file beside the folder, others by what they end in."""
    if (folder.parent / dataset_json.FILE).is_file() and folder.name in ("imagesTr", "imagesTs"):
        return channel_names(contrasts, folder.parent)
    stems = [volume_stem(file) for file in image_volumes(folder)] if len(files) > 1 or not files else []
    return names_in_folder(contrasts, stems or [volume_stem(file) for file in files])
