"""Segment files: label volumes, and on request maps of probability and uncertainty, each complete or not there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spine_ignite.data.geometry import SliceGrid
from spine_ignite.data.maps import PlaneSpool, write_map, write_maps
from spine_ignite.data.volumes import read_image, volume_stem, write_label_like
from spine_ignite.errors import RunError, SpineIgniteError
from spine_ignite.files import write_text
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predictor import Predictor, load_predictor

Progress = Callable[[Any], Any]
Jobs = Sequence[tuple[Path, Path]]


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
    """

    probabilities: bool = False
    uncertainty: bool = False

    def paths(self, output: Path) -> dict[str, Path]:
        """Return the files that belong to a label volume."""
        name = f"{volume_stem(output)}.nii.gz"
        wanted = {"probabilities": self.probabilities, "uncertainty": self.uncertainty}
        return {kind: output.parent / kind / name for kind, is_wanted in wanted.items() if is_wanted}


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
        run: a run directory, or a folder of them, whose probabilities are averaged.
        jobs: pairs of an image and the label volume to write.
        options: how; by default as the run's configuration says.
        extras: what to write besides label volumes.
        skip_existing: leave what is already there.
        progress: wraps the jobs, to show how far it is.

    Raises:
        SpineIgniteError: a run, a checkpoint or the device cannot be used.
    """
    predictor = load_predictor(run, options or InferenceOptions())
    return predict_files(predictor, jobs, extras=extras, skip_existing=skip_existing, progress=progress)


def predict_files(
    predictor: Predictor,
    jobs: Jobs,
    *,
    extras: Extras | None = None,
    skip_existing: bool = False,
    progress: Progress | None = None,
) -> list[Prediction]:
    """Segment files; one that cannot be used is reported, and the others are still done.

    Beside each label volume ``<name>.json`` records how it was made; with ``skip_existing`` a volume that was made
    otherwise is reported, neither passed off as this predictor's nor replaced.

    Args:
        predictor: the networks.
        jobs: pairs of an image and the label volume to write.
        extras: what to write besides label volumes.
        skip_existing: leave what is already there.
        progress: wraps the jobs, to show how far it is.
    """
    extras = extras or Extras()
    settings = predictor.settings
    results = []
    for source, output in progress(jobs) if progress is not None else jobs:
        try:
            if skip_existing and output.is_file() and all(path.is_file() for path in extras.paths(output).values()):
                _require_made_so(output, settings)
                results.append(Prediction(source, output, skipped=True))
                continue
            note = _predict_file(predictor, source, output, extras)
            record = {"image": str(source), **settings, "precision": predictor.precision.name, "postprocessing": note}
            write_text(_record(output), json.dumps(record, indent=2) + "\n")
            results.append(Prediction(source, output, note=note))
        except SpineIgniteError as error:
            results.append(Prediction(source, output, error=str(error)))
    return results


def _predict_file(predictor: Predictor, source: Path, output: Path, extras: Extras) -> str | None:
    volume = read_image(source)
    grid = SliceGrid.from_geometry(volume.array.shape, volume.affine)
    paths = extras.paths(output)
    with ExitStack() as stack:
        spool = None
        if extras.probabilities:
            folder = paths["probabilities"].parent
            spool = stack.enter_context(PlaneSpool(folder, predictor.scheme.num_classes, grid.native_size))
        found = predictor.segment(volume, uncertainty=extras.uncertainty, spool=spool)
        if found.uncertainty is not None:
            write_map(paths["uncertainty"], found.uncertainty, volume)
            found = replace(found, uncertainty=None)  # its memory is needed for what follows
        if spool is not None:
            maps = (grid.to_volume(spool.read(index)) for index in range(spool.classes))
            write_maps(paths["probabilities"], maps, spool.classes, volume)
    write_label_like(output, found.values, volume)  # last: where it is, all is
    return found.note


def _record(output: Path) -> Path:
    return output.with_name(f"{volume_stem(output)}.json")


def _require_made_so(output: Path, settings: dict[str, Any]) -> None:
    """Refuse a label volume that was made in another way, as far as that is known."""
    try:
        made = json.loads(_record(output).read_text(encoding="utf-8"))
        differing = [name for name, value in _compared(settings).items() if _compared(made).get(name) != value]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return  # of another tool, or of an older version
    if differing:
        raise RunError(
            f"{output} was made in another way ({', '.join(differing)}: see {_record(output).name}); "
            "predict into another folder, or without --skip-existing"
        )


def _compared(settings: dict[str, Any]) -> dict[str, Any]:
    """What makes a difference: all but where the runs are."""
    members = settings["members"]
    compared = {name: [member[name] for member in members] for name in ("weights", "views", "window", "overlap")}
    return {**compared, "postprocess": settings["postprocess"]}
