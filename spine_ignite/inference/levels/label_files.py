"""Levels of label volumes in files, of any tool: said, repaired, renamed, without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_ignite.config.postprocess import LEVELS
from spine_ignite.errors import DataError, RunError, reason
from spine_ignite.inference.levels.calibration import Calibration, basis_of, read_calibration
from spine_ignite.inference.levels.certificate import OF_UNKNOWN, RISK, Certifier, uncalibrated
from spine_ignite.inference.levels.column import Column, name_column
from spine_ignite.inference.levels.conditions import Conditions, centroids
from spine_ignite.inference.levels.pieces import Found
from spine_ignite.inference.levels.record import (
    certified_anew,
    describe,
    is_levels_file,
    levels_file,
    read_levels,
    write_levels,
)
from spine_ignite.inference.network_sources import ExportedNetwork
from spine_ignite.inference.records import record_anew, record_of, vouches_for
from spine_ignite.labels import LabelScheme
from spine_ignite.ownership import require_unmarked
from spine_ignite.runs.folds_directory import FoldsDirectory
from spine_ignite.volumes.digests import file_sha256
from spine_ignite.volumes.reader import volume_stem, volume_suffix, written_suffix
from spine_ignite.volumes.volume import STRICT, Reading, Volume, read_label, write_label_like

Progress = Callable[[Any], Any]
_SAME = 1.0  # mm by which the centroid of a piece may differ from what was written of it


@dataclass(frozen=True, slots=True)
class Leveled:
    """What became of one label volume.

    Args:
        source: the volume.
        output: the renamed volume; None if none was asked for.
        described: what ``<name>.levels.json`` says; None if there was an error.
        changed: voxels with another level than before.
        error: why there is nothing, in a sentence.
    """

    source: Path
    output: Path | None = None
    described: dict[str, Any] | None = None
    changed: int = 0
    error: str | None = None


def level_files(
    files: Sequence[Path],
    scheme: LabelScheme,
    out: Path | None = None,
    *,
    conditions: Conditions | None = None,
    risk: float | None = None,
    reading: Reading = STRICT,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Leveled]:
    """Name the columns of label volumes; one that cannot be used is reported, and the others are still done.

    ``<name>.levels.json`` lies beside each volume, or with ``out`` beside the renamed volume there. Where one of a
    prediction lies there already, what its network thought of each piece is read from it.

    Args:
        files: label volumes.
        scheme: of their values.
        out: a folder for volumes with the likeliest levels.
        conditions: what is known of the levels.
        risk: probability of a wrong column among the accepted ones, at most; None: that of a prediction stays, and
            else it is 0.02.
        reading: how the files are read.
        force: replace what this function wrote into ``out`` before.
        progress: wraps the files.

    Raises:
        RunError: ``out`` is a folder whose content other commands keep, a run for one.
    """
    if out is not None:
        require_unmarked(out)
    results = []
    for source in progress(files) if progress is not None else files:
        try:
            results.append(_do(source, scheme, out, conditions or Conditions(), risk, reading, force))
        except Exception as error:  # whatever one file does to a library, the others are still done
            results.append(Leveled(source, error=reason(error, source)))
    return results


def other_scan(path: Path, scheme: LabelScheme, reading: Reading = STRICT) -> Conditions:
    """Read the levels of another labelled scan of the patient, as conditions for this one.

    Raises:
        DataError: it cannot be read, or has no vertebrae.
    """
    volume = read_label(path, reading)
    known = centroids(scheme.to_indices(volume.array), volume.affine, scheme)
    if known.are_empty:
        raise DataError(f"{path} has no vertebrae whose levels could be known (scheme '{scheme.name}')")
    return known


def _do(
    source: Path,
    scheme: LabelScheme,
    out: Path | None,
    conditions: Conditions,
    risk: float | None,
    reading: Reading,
    force: bool,
) -> Leveled:
    target = source if out is None else out / f"{volume_stem(source)}{written_suffix(volume_suffix(source))}"
    _require_ours(target, source, out, force)
    again = _certified_again(source, scheme, risk) if out is None and conditions.are_empty else None
    if again is not None:
        write_levels(target, again)
        record_anew(target, LEVELS, levels_file(target))
        return Leveled(source, None, again)
    volume = read_label(source, reading)
    column = _name(volume, source, scheme, conditions)
    said = [str(conditions)] if not conditions.are_empty else []
    described = describe(column, uncalibrated(RISK if risk is None else risk), conditions=said)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        values = _renamed(volume, column)
        write_label_like(target, values, volume, lambda complete: write_levels(target, described), scheme)
    else:
        write_levels(target, described)
    return Leveled(source, None if out is None else target, described, column.changed)


def _certified_again(source: Path, scheme: LabelScheme, risk: float | None) -> dict[str, Any] | None:
    """Return what is said of the levels of a prediction with a verdict at another risk; None for what is none.

    The naming stays as it was made, with all that the network knew. Volume and naming must be those of the prediction,
    to the last byte: whatever else lies there is a label map, and is not certified by what is known of a network.
    Out-of-fold predictions are what a calibration is made of, and are not judged by it.

    Raises:
        RunError: the calibration of the cross-validation that predicted it is damaged.
    """
    made = record_of(source)
    described = read_levels(source) if vouches_for(source, LEVELS, levels_file(source)) else None
    if made is None or described is None or described["conditions"] or described["scheme"] != scheme.name:
        return None
    calibration, why = _calibration_of(made["members"][0], source)
    column, known = described["column"], described.get("input", {})
    certifier = Certifier(column["risk"] if risk is None else risk, calibration, basis_of(made, scheme), why)
    phantom = bool(known.get("phantom", False))
    unlike = certifier.unlike(known.get("traits"), phantom)
    asks = bool(unlike) or bool(column.get("asked_for", True))
    certificate = certifier.judge(float(column["posterior"]), asks, phantom)
    return certified_anew(described, replace(certificate, reasons=tuple(unlike)))


def _calibration_of(member: Mapping[str, Any], source: Path) -> tuple[Calibration | None, str]:
    """Return the calibration of the network that made a prediction, or why there is none.

    Raises:
        RunError: it is damaged.
    """
    run = Path(member["run"])
    if run.is_file():
        if file_sha256(run) != member["weights"]:
            return None, "the file that predicted it is another by now"
        network = ExportedNetwork(run)
        return network.calibration, network.uncalibrated
    folds = FoldsDirectory(run.absolute().parent)
    judged = folds.exists and source.absolute().parent != folds.out_of_fold.absolute()
    return read_calibration(folds.calibration) if judged else None, OF_UNKNOWN


def _require_ours(target: Path, source: Path, out: Path | None, force: bool) -> None:
    file = levels_file(target)
    if file.exists() and not is_levels_file(file):
        raise RunError(f"{file} is in the way, and is not what this command writes; move it")
    if out is None or not target.exists():
        return
    if target.resolve() == source.resolve():
        raise RunError(f"{source} would be written over; choose another folder (--out)")
    if not force or not file.exists():
        more = "replace it with --force, or " if file.exists() else ""
        raise RunError(f"{target} is there already; {more}choose another folder (--out)")


def _name(volume: Volume, source: Path, scheme: LabelScheme, conditions: Conditions) -> Column:
    indices = scheme.to_indices(volume.array)
    written = read_levels(source) if levels_file(source).is_file() else None
    column = name_column(
        indices,
        volume.affine,
        scheme,
        pooled=lambda found: _written_names(found, written, scheme),
        knowing=conditions.given,
    )
    if column.posterior is None and not conditions.are_empty:
        raise DataError(f"{source} has no column whose levels could be named")
    return column


def _renamed(volume: Volume, column: Column) -> NDArray[np.integer[Any]]:
    """Change the values of voxels with another level alone: others keep theirs, where several mean one class."""
    values = volume.array.copy()
    before = column.scheme.to_indices(volume.array)
    other = column.indices != before
    values[other] = column.scheme.to_values(column.indices[other])
    smallest: NDArray[np.integer[Any]] = values.astype(np.min_scalar_type(int(values.max(initial=0))))
    return smallest


def _written_names(found: Found, written: dict[str, Any] | None, scheme: LabelScheme) -> NDArray[np.float64] | None:
    """Return what a network thought of each piece, from the file beside its prediction; None if there is no such file.

    Also None where the pieces are not those of the file: the volume was changed since.
    """
    if written is None or not written.get("probabilities") or written.get("scheme") != scheme.name:
        return None
    rows = written["instances"]
    if [row["id"] for row in rows] != [piece.id for piece in found.instances]:
        return None
    table = np.zeros((len(rows), scheme.num_classes))
    for row, piece, names in zip(rows, found.instances, table, strict=True):
        if np.abs(np.array(row["centroid_mm"]) - piece.centroid).max() > _SAME:
            return None
        for name, share in row["names"].items():
            if name in scheme.names:
                names[scheme.names.index(name)] = share
    return table
