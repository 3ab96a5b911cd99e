"""Segment files: label volumes, and on request maps of probability and uncertainty, each complete or not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spine_ignite.config.postprocess import LEVELS
from spine_ignite.errors import DataError, SpineIgniteError, reason
from spine_ignite.files import guard
from spine_ignite.inference.exam_files import NO_EXAMS, Exams
from spine_ignite.inference.levels.record import describe, levels_file, write_levels
from spine_ignite.inference.network_sources import names_recorded
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predictor import Predictor, Segmentation, load_predictor
from spine_ignite.inference.records import is_done, require_as_written, require_replaceable, write_record
from spine_ignite.locks import lock_folder
from spine_ignite.machine.processes import ALONE, Processes
from spine_ignite.machine.shared_work import share_out
from spine_ignite.volumes.contrasts import Files, contrasts_sha256, read_contrasts
from spine_ignite.volumes.dicom.segmentations import require_series, write_segmentation
from spine_ignite.volumes.digests import parts_of, volume_sha256
from spine_ignite.volumes.geometry import SliceGrid
from spine_ignite.volumes.maps import PlaneSpool, write_map, write_maps
from spine_ignite.volumes.origin import is_phantom
from spine_ignite.volumes.reader import volume_stem
from spine_ignite.volumes.volume import Volume, write_label_like

Progress = Callable[[Any], Any]
Jobs = Sequence[tuple[Path, Path]]
_SEG = "dicom-seg"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One input, where its labels are, why not if they are not, and what post-processing did."""

    source: Path
    output: Path
    error: str | None = None
    skipped: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Extras:
    """What is written besides label volumes, into folders beside them.

    Args:
        probabilities: ``probabilities/<name>.nii.gz``, float32 ``(I, J, K, classes)``.
        uncertainty: ``uncertainty/<name>.nii.gz``, float32 ``(I, J, K)``, see :class:`~.predictor.Segmentation`.
        dicom_seg: ``dicom-seg/<name>.dcm``, of inputs that are DICOM, see :mod:`~.dicom.segmentations`.
    """

    probabilities: bool = False
    uncertainty: bool = False
    dicom_seg: bool = False

    def paths(self, output: Path) -> dict[str, Path]:
        """Return the files that belong to a label volume."""
        name = f"{volume_stem(output)}.nii.gz"
        wanted = {"probabilities": self.probabilities, "uncertainty": self.uncertainty}
        found = {kind: output.parent / kind / name for kind, is_wanted in wanted.items() if is_wanted}
        return {**found, _SEG: _segmentation_file(output)} if self.dicom_seg else found


def _segmentation_file(output: Path) -> Path:
    return output.parent / _SEG / f"{volume_stem(output)}.dcm"


def predict(
    run: Path,
    jobs: Jobs,
    *,
    options: InferenceOptions | None = None,
    extras: Extras | None = None,
    skip_existing: bool = False,
    progress: Progress | None = None,
) -> list[Prediction]:
    """Segment files with the network of a run; see :func:`predict_files`.

    Args:
        run: a run directory, a folder of them, whose probabilities are averaged, an exported file, or the name of a
            published network.
        jobs: pairs of an image and the label volume to write.
        options: how; by default as the run's configuration says.
        extras: what to write besides label volumes.
        skip_existing: leave what is already there.
        progress: wraps the jobs, to show how far it is.

    Raises:
        SpineIgniteError: a run, a checkpoint or the device cannot be used.
    """
    with names_recorded(run):
        predictor = load_predictor(run, options or InferenceOptions())
        return predict_files(predictor, jobs, extras=extras, skip_existing=skip_existing, progress=progress)


def predict_files(
    predictor: Predictor,
    jobs: Jobs,
    *,
    extras: Extras | None = None,
    skip_existing: bool = False,
    progress: Progress | None = None,
    lock: bool = True,
    processes: Processes = ALONE,
    exams: Exams = NO_EXAMS,
) -> list[Prediction]:
    """Segment files; one that cannot be used is reported, and the others are still done.

    Beside each label volume ``<name>.json`` records of which image it is and how it was made, and with the step
    ``levels`` of the clean-up ``<name>.levels.json`` which levels it has and how surely. A volume that was changed
    since, or has no record, is reported and not replaced; likewise a segmentation in DICOM. With ``skip_existing``
    neither is one that is not of this image or was made otherwise; one that was left unfinished or damaged is made
    again.

    Args:
        predictor: the networks.
        jobs: pairs of an image and the label volume to write.
        extras: what to write besides label volumes.
        skip_existing: leave what is already there.
        progress: wraps the jobs, to show how far it is.
        lock: keep others from predicting into the same folders; False if the caller does.
        processes: that share the files; all call this with the same, and get the results of all.
        exams: of each image the files of its exam by contrast, its own among them; of networks that see contrasts.

    Raises:
        RunError: another process is predicting into a folder, or it cannot be written.
    """
    wanted = extras or Extras()

    def do(job: tuple[Path, Path]) -> Prediction:
        try:
            return _do(predictor, *job, wanted, skip_existing, exams.get(job[0], {}))
        except Exception as error:  # whatever one file does to a library, the others are still done
            return Prediction(*job, error=reason(error, job[0]))

    with ExitStack() as stack:
        for folder in sorted({output.parent for _, output in jobs}):
            if lock and processes.first:
                stack.enter_context(lock_folder(folder, "is predicting into it"))
            else:
                guard(folder)
        processes.wait()
        return share_out(jobs, do, processes, size=lambda job: _bytes(job[0]), progress=progress)


def _bytes(source: Path) -> int:
    """The size of a volume's files; 0 if they cannot be read, which is told when it is predicted."""
    try:
        return sum(file.stat().st_size for file in parts_of(source))
    except (OSError, SpineIgniteError):
        return 0


def _do(
    predictor: Predictor, source: Path, output: Path, extras: Extras, skip_existing: bool, exam: Files
) -> Prediction:
    image = contrasts_sha256(source, exam)
    paths = extras.paths(output)
    if LEVELS in predictor.postprocess:
        paths[LEVELS] = levels_file(output)
    if skip_existing and is_done(output, image, predictor.settings, paths):
        return Prediction(source, output, skipped=True)
    require_replaceable(output)
    if extras.dicom_seg:
        require_as_written(output, _SEG, paths[_SEG])
        require_series(source)
    volume = read_contrasts(source, exam, predictor.reading)
    if contrasts_sha256(source, exam) != image:
        raise DataError(f"{source} was replaced while it was read; predict it again")
    of_image = {"image": str(source), "image_sha256": image, **_recorded(exam)}
    grid = SliceGrid.from_geometry(volume.array.shape, volume.affine)
    with ExitStack() as stack:
        spool = None
        if extras.probabilities:
            folder = paths["probabilities"].parent
            spool = stack.enter_context(PlaneSpool(folder, predictor.scheme.num_classes, grid.native_size))
        found = predictor.segment(volume, uncertainty=extras.uncertainty, spool=spool)

        def write_rest(files: Mapping[str, Path]) -> None:
            nonlocal found
            if found.uncertainty is not None:
                write_map(paths["uncertainty"], found.uncertainty, volume)
                found = replace(found, uncertainty=None)  # its memory is needed for what follows
            if spool is not None:
                maps = (grid.to_volume(spool.read(index)) for index in range(spool.classes))
                write_maps(paths["probabilities"], maps, spool.classes, volume)
            _write_labels(predictor, found, volume, output, files, of_image)

        if extras.dicom_seg:  # what refuses it does so before anything else is written, and its record comes before it
            made_by = str(predictor.settings["checkpoint"])
            write_segmentation(
                paths[_SEG],
                found.values,
                source,
                predictor.scheme,
                made_by,
                lambda complete: write_rest({**paths, _SEG: complete}),
            )
        else:
            write_rest(paths)
    return Prediction(source, output, note=found.note)


def _recorded(exam: Files) -> dict[str, Any]:
    """What a record says of the images of an exam, whose common SHA-256 is compared."""
    found = {name: {"image": str(path), "sha256": volume_sha256(path)} for name, path in exam.items()}
    return {"contrasts": found} if found else {}


def _write_labels(
    predictor: Predictor,
    found: Segmentation,
    volume: Volume,
    output: Path,
    files: Mapping[str, Path],
    of_image: Mapping[str, Any],
) -> None:
    """Write the levels, the record and the label volume, in this order; the record is of the other ``files`` too."""
    made = {**of_image, **predictor.settings, "precision": predictor.precision.name, "postprocessing": found.note}
    if found.column is not None:
        phantom = is_phantom(volume)
        certificate = predictor.certifier.certify(found.column, phantom=phantom, traits=found.traits)
        known = {"phantom": phantom, "traits": {name: float(f"{value:.6g}") for name, value in found.traits.items()}}
        write_levels(output, describe(found.column, certificate, known=known))
    kept = {_SEG: _segmentation_file(output)}
    write_label_like(
        output,
        found.values,
        volume,
        lambda complete: write_record(output, complete, files, made, kept),
        predictor.scheme,
    )
