"""Columns that a network had not seen, with what became of them: what a certificate rests on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from spine_ignite.errors import RunError
from spine_ignite.files import write_text
from spine_ignite.inference.levels.bounds import Threshold, cases_needed, find_threshold, supported_risk
from spine_ignite.inference.levels.familiarity import Familiarity
from spine_ignite.labels import LabelScheme

FORMAT = 2
_ANSWERS = ("views", "window", "overlap")
_BASIS = {"networks", "answers", "classes", "postprocess", "naming"}


@dataclass(frozen=True, slots=True)
class JudgedColumn:
    """A column that was named by a network that has not seen its patient, held against its reference.

    Args:
        posterior: of its naming, as it is written.
        right: whether every name is.
        patient: a number; columns of one patient have the same.
        phantom: whether no person was in the scanner.
        asked: whether it is asked about however high the posterior is: something speaks against it, or its input is
            unlike the others.
    """

    posterior: float
    right: bool
    patient: int
    phantom: bool = False
    asked: bool = False

    @property
    def can_be(self) -> bool:
        """Whether all of it is what it should be: numbers and answers, and no text."""
        answers = (self.right, self.phantom, self.asked)
        return 0 <= self.posterior <= 1 and type(self.patient) is int and all(type(a) is bool for a in answers)


@dataclass(frozen=True)
class Calibration:
    """What is known of a network's columns, for inputs of one kind.

    Args:
        basis: what made the columns, see :func:`basis_of`.
        columns: all of them.
        people: traits of one case of each person, by which others are found to be unlike them.
        phantoms: the same of phantoms. Of any contrast as they are, they would make every person familiar.
    """

    basis: Mapping[str, Any]
    columns: tuple[JudgedColumn, ...]
    people: Familiarity = field(default_factory=lambda: Familiarity(()))
    phantoms: Familiarity = field(default_factory=lambda: Familiarity(()))

    @classmethod
    def learn(
        cls, basis: Mapping[str, Any], columns: Sequence[JudgedColumn], traits: Sequence[Mapping[str, float]]
    ) -> Calibration:
        """Make a calibration, in which each column is asked about that is unlike those of other patients of its kind.

        So each counts as it would if it were a new one: also the second series of a patient, by its own traits.

        Args:
            basis: what made the columns.
            columns: of which ``asked`` tells of what speaks against the naming alone.
            traits: of the input of each column; empty where they are not known.
        """
        first: dict[bool, dict[int, Mapping[str, float]]] = {False: {}, True: {}}
        for column, row in zip(columns, traits, strict=True):
            if row:
                first[column.phantom].setdefault(column.patient, row)
        judged = []
        for column, row in zip(columns, traits, strict=True):
            others = [other for patient, other in first[column.phantom].items() if patient != column.patient]
            judged.append(replace(column, asked=column.asked or bool(row and Familiarity.fit(others).reasons(row))))
        people, phantoms = (Familiarity.fit(list(first[kind].values())) for kind in (False, True))
        return cls(basis, tuple(judged), people, phantoms)

    def of_kind(self, phantom: bool) -> Support:
        """Return what the columns of phantoms, or of people, support: neither says anything of the other."""
        return self._kinds[phantom]

    def known(self, phantom: bool) -> Familiarity:
        """Return the traits of phantoms, or of people."""
        return self.phantoms if phantom else self.people

    @cached_property
    def _kinds(self) -> dict[bool, Support]:
        return {kind: Support(tuple(c for c in self.columns if c.phantom == kind)) for kind in (False, True)}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, format :data:`FORMAT`."""
        rows = [asdict(column) for column in self.columns]
        traits = {"people": self.people.to_dict(), "phantoms": self.phantoms.to_dict()}
        return {"format": FORMAT, "basis": dict(self.basis), "columns": rows, "traits": traits}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Read what :meth:`to_dict` returned.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']}")
        columns = tuple(JudgedColumn(**row) for row in data["columns"])
        if not all(column.can_be for column in columns):
            raise ValueError("columns that cannot be")
        if set(data["basis"]) != _BASIS:
            raise ValueError("another basis")
        people, phantoms = (Familiarity.from_dict(data["traits"][kind]) for kind in ("people", "phantoms"))
        return cls(dict(data["basis"]), columns, people, phantoms)


@dataclass(frozen=True)
class Support:
    """Columns of one kind, and which risk they support.

    Args:
        columns: of phantoms alone, or of people alone.
    """

    columns: tuple[JudgedColumn, ...]

    @cached_property
    def patients(self) -> list[tuple[float, bool]]:
        """Of each patient one column, the least favourable: posterior, and whether it is right.

        That is the surest of the wrong ones, or where all are right the least sure. So of the patients above a
        threshold at least as large a share counts as wrong as of a random column of each.
        """
        found: dict[int, tuple[float, bool]] = {}
        for column in self.columns:
            if column.asked:
                continue
            posterior, right = found.setdefault(column.patient, (column.posterior, column.right))
            if column.right == right:
                posterior = min(posterior, column.posterior) if right else max(posterior, column.posterior)
            elif right:
                posterior, right = column.posterior, False
            found[column.patient] = posterior, right
        return list(found.values())

    def threshold(self, risk: float) -> Threshold | None:
        """Return from which posterior on a column is accepted; None where the cases do not support the risk."""
        return find_threshold(self.patients, risk)

    @cached_property
    def smallest_risk(self) -> float | None:
        """The smallest risk that the cases support; None if there is none below a half."""
        return supported_risk(self.patients)

    def needed(self, risk: float) -> int:
        """Return how many patients would be needed for a risk, with as many errors as the smallest risk allows."""
        known = None if self.smallest_risk is None else self.threshold(self.smallest_risk)
        return cases_needed(risk, 0 if known is None else known.errors)


def basis_of(settings: Mapping[str, Any], scheme: LabelScheme) -> dict[str, Any]:
    """Return what determines columns: networks, how they are asked, the classes, the clean-up and the naming's model.

    Args:
        settings: as recorded of the predictor, or of several whose ``members`` are put together.
        scheme: of its labels.
    """
    members = settings["members"]
    answers = {json.dumps([member[name] for name in _ANSWERS]) for member in members}
    classes = [[c.name, c.kind, list(c.values)] for c in scheme.classes]
    return {
        "networks": sorted({str(member.get("network") or member["weights"]) for member in members}),
        "answers": sorted(answers),
        "classes": hashlib.sha256(json.dumps(classes).encode()).hexdigest()[:16],
        "postprocess": list(settings["postprocess"]),
        "naming": settings.get("naming"),
    }


def difference(known: Mapping[str, Any], basis: Mapping[str, Any]) -> str | None:
    """Say in what a prediction differs from those that were calibrated; None if in nothing.

    The networks of all folds together, or some of them, are those of the calibration, in which each is by itself.

    Args:
        known: the basis of a calibration.
        basis: that of the prediction.
    """
    if not set(basis["networks"]) <= set(known.get("networks", ())):
        return "it was calibrated with other weights"
    said = {
        "answers": "it was calibrated with other views or windows",
        "classes": "it was calibrated with other classes",
        "postprocess": "it was calibrated with another clean-up",
        "naming": "it was calibrated with another version of the naming",
    }
    # What does not say by which version it was named equals nothing, itself included.
    unknown = {"naming"} if basis["naming"] is None else set()
    return next((words for key, words in said.items() if key in unknown or basis[key] != known.get(key)), None)


def number_patients(patients: Sequence[str]) -> dict[str, int]:
    """Return a number for each patient, in the order in which they come: a calibration holds no names."""
    return {patient: number for number, patient in enumerate(dict.fromkeys(patients))}


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration.

    Raises:
        RunError: it cannot be written.
    """
    write_text(path, json.dumps(calibration.to_dict(), indent=1, sort_keys=True) + "\n")


def read_calibration(path: Path) -> Calibration | None:
    """Read a calibration; None if there is none.

    Raises:
        RunError: the file is damaged, or of another version.
    """
    if not path.is_file():
        return None
    try:
        return Calibration.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(
            f"{path} cannot be read ({type(error).__name__}); remove it, and make it again with: "
            f"spine-ignite cross-validate --resume {path.parent}"
        ) from error
