"""``<name>.levels.json``: what is said of a column beside its label volume."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spine_ignite.errors import DataError
from spine_ignite.files import write_text
from spine_ignite.inference.levels.assumptions import assumptions
from spine_ignite.inference.levels.certificate import Certificate, uncalibrated
from spine_ignite.inference.levels.column import Column
from spine_ignite.inference.levels.reasons import reasons
from spine_ignite.volumes.reader import volume_stem

FORMAT = 1
SUFFIX = ".levels.json"
_MOST_ALTERNATIVES = 5
_LEAST = 0.001  # probability of an alternative that is told
_LEAST_NAME = 0.0001  # mean probability of a class in a piece that is told


def levels_file(volume: Path) -> Path:
    """Return the file beside a label volume that says which levels it has."""
    return volume.with_name(f"{volume_stem(volume)}{SUFFIX}")


def describe(
    column: Column,
    certificate: Certificate | None = None,
    conditions: list[str] | None = None,
    known: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what is known of a column as plain data, format :data:`FORMAT`.

    Args:
        column: as it was named.
        certificate: whether it is accepted; by default that of a label map, of whose risk nothing is known.
        conditions: what a person said of its levels.
        known: what is known of the image, for a calibration.
    """
    promised, known_reasons = certificate or uncalibrated(), reasons(column)
    return {
        "format": FORMAT,
        "scheme": column.scheme.name,
        "probabilities": column.has_probabilities,
        "conditions": conditions or [],
        "input": dict(known or {}),
        "instances": _instances(column),
        "column": {
            "posterior": column.score,
            **_promise(promised),
            "reasons": [*promised.reasons, *(reason.text for reason in known_reasons)],
            "asked_for": [*promised.reasons, *(reason.text for reason in known_reasons if reason.asks)],
            "assumed": assumptions(column),
            "alternatives": _alternatives(column),
        },
    }


def certified_anew(described: Mapping[str, Any], certificate: Certificate) -> dict[str, Any]:
    """Return what :func:`describe` gave with another certificate, and with the reasons that it adds."""
    column = {**described["column"], **_promise(certificate)}
    for told in ("reasons", "asked_for"):
        column[told] = [*(reason for reason in certificate.reasons if reason not in column[told]), *column[told]]
    return {**described, "column": column}


def _promise(certificate: Certificate) -> dict[str, Any]:
    return {
        "verdict": "accepted" if certificate.accepted else "ask",
        "risk": certificate.risk,
        "calibration": certificate.calibration,
        "rests_on": certificate.rests_on,
    }


def write_levels(volume: Path, described: Mapping[str, Any]) -> None:
    """Write what :func:`describe` gave beside a label volume.

    Raises:
        RunError: the file cannot be written.
    """
    write_text(levels_file(volume), json.dumps(described, indent=2, ensure_ascii=False) + "\n")


def read_levels(volume: Path) -> dict[str, Any] | None:
    """Return what is said of a label volume's levels; None if nothing is.

    Raises:
        DataError: the file is damaged, or of another format.
    """
    file = levels_file(volume)
    if not file.is_file():
        return None
    described = _parsed(file)
    if described is None:
        raise DataError(f"{file} is not what `spine-ignite levels` writes (format {FORMAT}); make it again with it")
    return described


def is_levels_file(path: Path) -> bool:
    """Whether a file is one of ours."""
    return path.name.endswith(SUFFIX) and _parsed(path) is not None


def _parsed(file: Path) -> dict[str, Any] | None:
    try:
        described: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        fits = described["format"] == FORMAT and isinstance(described["instances"], list)
        return described if fits and "verdict" in described["column"] else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _instances(column: Column) -> list[dict[str, Any]]:
    places = {piece.id: place for place, piece in enumerate(column.found.vertebrae)}
    rows = []
    for piece in column.found.instances:
        flags = ["cut off by the field of view"] if piece.cut else []
        probability: float | None = None
        if piece.id in places and column.posterior is not None:
            place = places[piece.id]
            names = column.posterior.best[place]
            probability = round(column.posterior.marginals[place].get(names, 0.0), 4)
            flags += ["not a vertebra"] if not names else ["two vertebrae in one piece"] if len(names) == 2 else []
        rows.append(
            {
                "id": piece.id,
                "kind": piece.kind,
                "level": column.levels.get(piece.id),
                "probability": probability,
                "centroid_mm": [round(float(mm), 2) for mm in piece.centroid],
                "volume_ml": round(piece.volume, 3),
                "flags": flags,
                "names": _names(column, piece.id),
            }
        )
    return rows


def _names(column: Column, number: int) -> dict[str, float]:
    """Return the mean probability of each class in a piece, those that are worth it."""
    if column.pooled is None:
        return {}
    shares = column.pooled[number - 1]
    order = np.argsort(-shares)
    return {column.scheme.names[c]: round(float(shares[c]), 5) for c in order if shares[c] >= _LEAST_NAME}


def _alternatives(column: Column) -> list[dict[str, Any]]:
    """Return other names of the lowest vertebra, or other namings above it, with their probabilities."""
    if column.posterior is None:
        return []
    found = []
    for naming, chance in column.posterior.namings[1:]:
        named = [names for names in naming if names]
        if named and chance >= _LEAST:
            found.append({"lowest": named[0][0], "highest": named[-1][-1], "posterior": round(chance, 4)})
    return found[:_MOST_ALTERNATIVES]
