"""Predict and evaluate files and images in memory, from Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from spine_ignite.api.training_runs import Echo, Name, silent
from spine_ignite.errors import DataError, UsageError, suggest
from spine_ignite.evaluation import judge
from spine_ignite.evaluation.case_results import TOLERANCE
from spine_ignite.evaluation.judged_cases import Judged
from spine_ignite.evaluation.measures import Surfaces
from spine_ignite.evaluation.pairs import evaluate_volumes
from spine_ignite.evaluation.tables import Summary
from spine_ignite.inference.exam_files import by_contrast, collect, joined
from spine_ignite.inference.inputs import require_one_each
from spine_ignite.inference.network_sources import names_recorded
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predict_files import Extras, Prediction, predict_files
from spine_ignite.inference.predictor import Predictor, load_predictor
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.machine.left_as_found import left_as_found
from spine_ignite.places import require_apart
from spine_ignite.volumes.contrasts import with_contrasts
from spine_ignite.volumes.in_memory import image_in_memory, is_in_memory, label_in_memory, label_like, nifti_labels
from spine_ignite.volumes.reader import volume_stem
from spine_ignite.volumes.volume import Reading, Volume, read_image, read_label

Progress = Callable[[Any], Any]


def predict(
    run: Name | Sequence[Name],
    image: Any,
    out: Name | None = None,
    *,
    options: InferenceOptions | None = None,
    extras: Extras | None = None,
    skip_existing: bool = False,
    progress: Progress | None = None,
    **how: Any,
) -> Any:
    """Label the structures in an image with the network of a run.

    Args:
        run: a run directory, an exported file, the name of a published network (``"ready"``), or a folder or list of
            these, whose probabilities are averaged.
        image: a nibabel image, a SimpleITK image, a pair of an array ``(I, J, K)`` and its affine (voxel indices to
            RAS+ mm), or the name of a file; with ``out`` names of files, folders and datasets. Or a list of these. For
            a network of several contrasts (``data.contrasts``) a mapping from each that there is to such an image; the
            labels are on the grid of the network's first contrast that is there.
        out: a folder for label volumes; None gives them back in memory.
        options: how; by default as the run's configuration says.
        extras: with ``out``, what to write besides.
        skip_existing: with ``out``, leave what is already there.
        progress: wraps what is done one by one, to show how far it is (``tqdm``, say).
        how: fields of :class:`InferenceOptions` (``device="cpu"``, ``tta=True`` …), in place of those of ``options``.

    Returns:
        Without ``out`` label values on the grid of the image, in its kind: a nibabel image (for a file too), a
        SimpleITK image, or for a pair an array ``(I, J, K)`` of unsigned integers; for a list a list. With ``out`` a
        list of :class:`Prediction`, in which a file that cannot be used has its ``error``.

    Raises:
        SpineIgniteError: the run, the device, an option, or without ``out`` an image cannot be used.
    """
    first, chosen = _joined(run, _options(options, how))
    several = isinstance(image, list)
    images = list(image) if several else [image]
    with left_as_found():
        if out is None:
            if extras is not None or skip_existing:
                raise UsageError("extras and skip_existing are about files; give the folder out to write them into")
            named = [_named(item, f"image {n}" if several else "the image") for n, item in enumerate(images, 1)]
            with names_recorded(first):
                predictor = load_predictor(first, chosen)
                found = [_segment(predictor, *item) for item in (progress(named) if progress else named)]
            return found if several else found[0]
        return _predict_files(first, images, Path(out), chosen, extras, skip_existing, progress)


def evaluate(
    run: Any,
    reference: Any = None,
    *,
    scheme: str | LabelScheme | None = None,
    masks: str | LabelScheme | None = None,
    split: Judged = "test",
    data: Name | None = None,
    options: InferenceOptions | None = None,
    out: Name | None = None,
    tolerance: float = TOLERANCE,
    surfaces: Surfaces = "area",
    progress: Progress | None = None,
    echo: Echo | None = print,
    **how: Any,
) -> Summary:
    """Judge a run on its test cases, or label volumes against their references.

    Args:
        run: a run directory, or a folder of them; with ``reference`` what is judged instead: a label volume of any kind
            that :func:`predict` takes, or a folder of them. Or a list of label volumes.
        reference: the mask of the same case, of any kind; a folder of masks, matched by case id; or a list.
        scheme: with ``reference``, which value is which structure: a registered name, a file, or a scheme; default
            ``mrspineseg``.
        masks: scheme of the references, or of the masks of ``data``, if it is another; classes that it does not have
            are left out.
        split: of a run, ``test`` or ``validation``.
        data: of a run, another dataset.
        options: of a run, how to predict.
        out: a folder for tables; of a run None is its own.
        tolerance: of the normalised surface Dice, in mm.
        surfaces: whether HD95, ASSD and NSD count surfaces by ``area`` or by ``voxels``, as MONAI does.
        progress: wraps what is done one by one.
        echo: takes the sentences that a reader of the result must know; None for silence.
        how: fields of :class:`InferenceOptions`, in place of those of ``options``; ``orientation`` for masks too.

    Returns:
        The means over cases and classes, each class over the cases (``classes``), and each case with its classes
        (``cases``).

    Raises:
        SpineIgniteError: the run, the device, an option, or a label volume cannot be used.
    """
    chosen = _options(options, how)
    folder = None if out is None else Path(out)
    read = load_scheme(masks) if isinstance(masks, str) else masks
    with left_as_found():
        if reference is None:
            if not isinstance(run, (str, PathLike)):
                raise UsageError("without a reference it is a run that is judged, by the name of its directory")
            if scheme is not None:
                raise UsageError("a run has its own scheme; scheme is given with a reference")
            where = None if data is None else Path(data)
            return judge.evaluate(
                Path(run),
                split=split,
                data=where,
                masks=read,
                options=chosen,
                out=folder,
                tolerance=tolerance,
                surfaces=surfaces,
                progress=progress,
                echo=echo or silent,
            )
        known = scheme if isinstance(scheme, LabelScheme) else load_scheme(scheme or "mrspineseg")
        if _is_folder(run) and _is_folder(reference):
            return judge.evaluate_folders(
                Path(run), Path(reference), known, folder, read, tolerance, surfaces, progress, echo or silent
            )
        if folder is not None:
            raise UsageError("tables are written of a run or of two folders; of what is in memory take the result")
        return evaluate_volumes(_pairs(run, reference, chosen), known, tolerance, surfaces, read)


def _options(options: InferenceOptions | None, how: dict[str, Any]) -> InferenceOptions:
    known = [field.name for field in dataclasses.fields(InferenceOptions)]
    for name in how:
        if name not in known:
            raise UsageError(f"there is no option '{name}'.{suggest(name, known)} The options are {', '.join(known)}")
    if "ensemble" in how:
        runs = how["ensemble"]
        how = {**how, "ensemble": tuple(Path(one) for one in ([runs] if isinstance(runs, (str, PathLike)) else runs))}
    for name in ("checkpoints", "postprocess"):
        if how.get(name) is not None:
            how = {**how, name: (how[name],) if isinstance(how[name], str) else tuple(how[name])}
    if isinstance(how.get("window"), list):
        how = {**how, "window": tuple(how["window"])}
    return dataclasses.replace(options or InferenceOptions(), **how)


def _joined(run: Name | Sequence[Name], options: InferenceOptions) -> tuple[Path, InferenceOptions]:
    """Return the first run, and options with which the others join it."""
    if isinstance(run, (str, PathLike)):
        return Path(run), options
    if not isinstance(run, (list, tuple)) or not run:
        raise UsageError("a run is the name of its directory, a result of train, or a list of these")
    first, *others = (Path(one) for one in run)
    return first, dataclasses.replace(options, ensemble=(*others, *options.ensemble))


def _named(image: Any, name: str) -> tuple[Any, str]:
    if isinstance(image, (str, PathLike)):
        return Path(image), str(image)
    return image, name


def _segment(predictor: Predictor, image: Any, name: str) -> Any:
    if isinstance(image, Mapping):
        given = by_contrast({str(key): value for key, value in image.items()}, predictor.contrasts)
        volumes = {key: _read(*_named(value, f"{key} of {name}"), predictor.reading) for key, value in given.items()}
        first = next((key for key in predictor.contrasts if key in volumes), None)
        if first is None:
            raise UsageError(
                f"{name} has no contrast; the network sees {', '.join(predictor.contrasts) or 'one image'}"
            )
        others = {key: volume for key, volume in volumes.items() if key != first}
        image, volume = _named(given[first], name)[0], with_contrasts(volumes[first], first, others)
    else:
        volume = _read(image, name, predictor.reading)
    values = predictor.segment(volume).values
    return nifti_labels(values, volume) if isinstance(image, Path) else label_like(values, image, volume)


def _read(image: Any, name: str, reading: Reading) -> Volume:
    if not isinstance(image, Path):
        return image_in_memory(image, name, reading)
    if image.is_dir():
        raise UsageError(f"{image} is a folder; give the folder out, which its label volumes are written into")
    return read_image(image, reading)


def _predict_files(
    run: Path,
    images: Sequence[Any],
    out: Path,
    options: InferenceOptions,
    extras: Extras | None,
    skip_existing: bool,
    progress: Progress | None,
) -> list[Prediction]:
    given = [file for image in images for file in (image.values() if isinstance(image, Mapping) else [image])]
    for image in given:
        if is_in_memory(image) or not isinstance(image, (str, PathLike)):
            raise UsageError(
                "what is in memory has no name to be written under; predict it without out, or give its file"
            )
    inputs = [Path(image) for image in images if not isinstance(image, Mapping)]
    named = [{str(key): Path(file) for key, file in image.items()} for image in images if isinstance(image, Mapping)]
    for folder in filter(Path.is_dir, inputs):
        require_apart({"out": out}, {"input": folder})
    with names_recorded(run):
        predictor = load_predictor(run, options)
        found = [collect(predictor.contrasts, [], out, named=exam) for exam in named]
        found += [collect(predictor.contrasts, inputs, out)] if inputs or not named else []
        jobs = require_one_each([job for part in found for job in part.jobs])
        exams = joined(part.exams for part in found)
        how = {"extras": extras, "skip_existing": skip_existing, "progress": progress}
        return predict_files(predictor, jobs, exams=exams, **how)  # type: ignore[arg-type]


def _is_folder(value: Any) -> bool:
    return isinstance(value, (str, PathLike)) and Path(value).is_dir()


def _pairs(predictions: Any, references: Any, options: InferenceOptions) -> list[tuple[str, Volume, Volume]]:
    several = isinstance(predictions, list) or isinstance(references, list)
    if several and not (isinstance(predictions, list) and isinstance(references, list)):
        raise UsageError("label volumes and references are two lists, or one of each")
    ours, theirs = (predictions, references) if several else ([predictions], [references])
    if len(ours) != len(theirs):
        raise UsageError(f"{len(ours)} label volumes cannot be judged by {len(theirs)} references")
    if not ours:
        raise DataError("there is nothing to judge: the lists are empty")
    # As where folders are judged: voxel is compared with voxel, and where their axes point to plays no part.
    reading = Reading(options.orientation or "any", options.nan)
    found = []
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True), 1):
        suffix = f" {number}" if several else ""
        found.append(
            (
                _case_name(one, f"case{suffix}"),
                _label(one, f"prediction{suffix}", reading),
                _label(other, f"reference{suffix}", reading),
            )
        )
    return found


def _label(image: Any, name: str, reading: Reading) -> Volume:
    if isinstance(image, (str, PathLike)):
        return read_label(Path(image), reading)
    return label_in_memory(image, name, reading)


def _case_name(image: Any, name: str) -> str:
    return volume_stem(Path(image)) if isinstance(image, (str, PathLike)) else name
