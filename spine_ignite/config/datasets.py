"""Further datasets that a run trains on, besides ``data.root``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from spine_ignite.config.section import Section

_LONGEST = 60  # characters of a name, which stands before those of cases


def check_patients(value: str) -> str:
    """Return a rule of whose a case is, a CSV file or a regular expression with one group.

    Raises:
        ValueError: it is neither.
    """
    if value.lower().endswith(".csv"):
        return value
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"is neither a CSV file nor a regular expression: {error}") from None
    if groups != 1:
        raise ValueError(f"must have one group, the patient, as in '(\\d+)_.*', but has {groups}")
    return value


def _check_name(value: str) -> str:
    if not value.strip() or not value.isprintable() or len(value) > _LONGEST or set(value) & set('/\\:*?"<>|'):
        raise ValueError(f"must be a printable name of 1 to {_LONGEST} characters that files can begin with")
    return value


Patients = Annotated[str, AfterValidator(check_patients)]


class DatasetConfig(Section):
    """A further dataset to train on together with ``data.root`` (a list of these)."""

    root: Path = Field(description="its folder, in any layout")
    name: Annotated[str, AfterValidator(_check_name)] = Field(
        "", description="stands before the names of its cases; default: its folder's name"
    )
    masks: str | None = Field(None, description="label scheme of its masks; default: data.scheme")
    labelled: tuple[str, ...] | None = Field(
        None, description="classes of data.scheme that its masks label; default: all that their scheme has"
    )
    patients: Patients | None = Field(
        None, description="whose a case is, as in data.patients; names by a rule are shared with the other datasets"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        """Name it once: a folder that is moved later has the cases that were recorded."""
        if isinstance(data, dict) and not data.get("name") and isinstance(data.get("root"), (str, Path)):
            return {**data, "name": Path(data["root"]).absolute().name or "data"}
        return data
