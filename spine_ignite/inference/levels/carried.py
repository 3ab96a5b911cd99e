"""The calibration that an exported network takes along, bound to the weights that it was made with.

A calibration names a network by the SHA-256 of its checkpoint, which a file made from it cannot have. So the file says
which checkpoint it was, and holds a seal: the SHA-256 of the calibration, this name, the fingerprint of the weights
and the description together. Where the seal fits, the network is the calibrated one, bit for bit. It finds what was
changed or does not belong together; it is no signature.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spine_ignite.inference.levels.calibration import Calibration, number_patients
from spine_ignite.inference.levels.certificate import OF_UNKNOWN
from spine_ignite.inference.levels.familiarity import Familiarity
from spine_ignite.names import counted
from spine_ignite.runs.exported import SUFFIX, Carried, Header, LeftOut, read_header

_LEFT_OUT: Mapping[LeftOut, str] = {
    "weights": "it was calibrated with other weights",
    "half": "it was calibrated with weights in single precision, and this file has them in half",
    "program": "it was calibrated in PyTorch, and what runs a program computes otherwise, if only by rounding",
    "not wanted": "its calibration was left out of the file",
}
CHANGED = "the calibration in the file is not that of its network, or was changed; export it again"


@dataclass(frozen=True, slots=True)
class Known:
    """What a file says of columns that its network had not seen.

    Args:
        calibration: of them; None without one that holds.
        network: SHA-256 of the checkpoint whose weights, bit for bit, are those of the file; empty where it says none.
        why: why there is no calibration.
    """

    calibration: Calibration | None = None
    network: str = ""
    why: str = OF_UNKNOWN


def take_along(
    header: Header, calibration: Calibration, network: str, weights: str, left_out: LeftOut | None = None
) -> Header:
    """Return the header of a file that holds a network of a cross-validation, with its calibration.

    Args:
        header: without one.
        calibration: of the cross-validation.
        network: SHA-256 of the checkpoint that the network was loaded from.
        weights: their fingerprint, see :func:`~spine_ignite.runs.exported.fingerprint`.
        left_out: why the file shall not have it; None: it shall, if the network is one that was calibrated.
    """
    if left_out is None and network not in calibration.basis["networks"]:
        left_out = "weights"
    if left_out is not None:
        return header.model_copy(update={"uncalibrated": left_out})
    columns = _without_order(calibration).to_dict()
    seal = _seal(network, columns, weights, header)
    carried = Carried(network=network, columns=columns, seal=seal)
    return header.model_copy(update={"sha256": weights, "calibration": carried})


def read_known(header: Header) -> Known:
    """Return what the header of a file says of columns; nothing in it is believed but what its seal fits."""
    carried = header.calibration
    if carried is None:
        return Known(why=OF_UNKNOWN if header.uncalibrated is None else _LEFT_OUT[header.uncalibrated])
    try:
        calibration = Calibration.from_dict(carried.columns)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Known(why=CHANGED)
    if header.sha256 is None or carried.seal != _seal(carried.network, carried.columns, header.sha256, header):
        return Known(why=CHANGED)
    return Known(calibration, carried.network)


def checkpoint_in(path: Path) -> str:
    """Return the SHA-256 of the checkpoint whose weights, bit for bit, a file holds; empty if it does not say.

    Args:
        path: a checkpoint, or a file of ``spine-ignite export``.

    Raises:
        RunError: it is a ``.safetensors`` file that cannot be used.
    """
    return read_known(read_header(path)).network if path.suffix == SUFFIX else ""


def told(header: Header) -> str | None:
    """Say what becomes of the levels that a file's network names; None where there never was a calibration."""
    known = read_known(header)
    if known.calibration is not None:
        patients = len({column.patient for column in known.calibration.columns})
        return f"calibrated as in the cross-validation, by the columns of {counted(patients, 'patient')}"
    return None if header.uncalibrated is None else f"uncalibrated: {known.why}"


def _without_order(calibration: Calibration) -> Calibration:
    """Put columns and traits in the order of their numbers, so that it tells nothing of the list of cases."""
    columns = sorted(calibration.columns, key=lambda c: (c.posterior, c.right, c.phantom, c.asked))
    numbers = number_patients([str(column.patient) for column in columns])
    people, phantoms = (
        Familiarity(tuple(sorted(known.rows, key=lambda row: sorted(row.items()))), known.share)
        for known in (calibration.people, calibration.phantoms)
    )
    renumbered = tuple(replace(column, patient=numbers[str(column.patient)]) for column in columns)
    return replace(calibration, columns=renumbered, people=people, phantoms=phantoms)


def _seal(network: str, columns: Mapping[str, Any], weights: str, header: Header) -> str:
    """Return the SHA-256 of all that belongs together, as it is read back from JSON."""
    description = json.loads(header.model_dump_json(include={"description"}))
    text = json.dumps([network, columns, weights, description], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
