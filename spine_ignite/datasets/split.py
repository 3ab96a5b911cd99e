"""The split of a run: which cases train, validate and test, made once and read ever after."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from spine_ignite.datasets.cases import Case
from spine_ignite.datasets.patients import listed
from spine_ignite.errors import DataError, RunError
from spine_ignite.volumes.contrasts import contrasts_sha256
from spine_ignite.volumes.digests import volume_sha256

Found = TypeVar("Found")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1)]
Part = Literal["training", "validation", "test"]
PARTS: tuple[Part, ...] = ("training", "validation", "test")


class Record(BaseModel):
    """A part of what is recorded of a split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_json(self) -> str:
        """Return it as JSON for people and programs."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


class SplitCase(Record):
    """A case of a split and what tells whether it is still the same."""

    name: Name
    id: Name
    patient: Name
    image: Sha256 = Field(description="of the image file; of an exam of several contrasts, of all its images together")
    mask: Sha256 | None = Field(description="of the mask file; None: a test case without one")
    voxels: Sha256 = Field(description="of the image's voxels, however the file stores them")
    dataset: Name | None = Field(None, description="that it is of, where there are several")
    others: tuple[Sha256, ...] = Field((), description="of the voxels of its further contrasts, in their order")

    @property
    def seen(self) -> tuple[str, ...]:
        """SHA-256 of the voxels of all its images."""
        return (self.voxels, *self.others)

    @model_serializer(mode="wrap")
    def _as_written(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = to_dict(self)
        if not self.others:  # what is written of a case of one image is as it always was
            data.pop("others")
        return data


class Origin(Record):
    """How a split came about: by a seed, or by a list that was given."""

    seed: int
    validation: float
    folds: int
    fold: int | None
    fraction: float
    file: str | None = Field(None, description="the list")
    sha256: Sha256 | None = Field(None, description="of the list")

    def __str__(self) -> str:
        if self.file is not None:
            return f"listed in {self.file}" + (f", entry {self.fold}" if self.fold is not None else "")
        how = f"fold {self.fold} of {self.folds}" if self.fold is not None else f"a share of {self.validation:g}"
        return f"by seed {self.seed}, {how}"


class Split(Record):
    """The cases of a run, by name; no patient is both trained on and validated on."""

    format: Literal[1] = 1
    origin: Origin
    training: tuple[SplitCase, ...]
    validation: tuple[SplitCase, ...]
    test: tuple[SplitCase, ...]

    @model_validator(mode="after")
    def _disjoint(self) -> Split:
        seen: set[str] = set()
        for case in self.cases:
            if case.name in seen:
                raise ValueError(f"case {case.name} is listed twice")
            seen.add(case.name)
        shared = {case.patient for case in self.training} & {case.patient for case in self.validation}
        if shared:
            raise ValueError(f"patient {min(shared)} is both in training and in validation")
        return self

    @property
    def cases(self) -> tuple[SplitCase, ...]:
        """All cases."""
        return (*self.training, *self.validation, *self.test)

    @property
    def images(self) -> dict[str, str]:
        """SHA-256 of each case's image file, by name."""
        return {case.name: case.image for case in self.cases}

    def part(self, name: Part) -> tuple[SplitCase, ...]:
        """Return the cases of ``training``, ``validation`` or ``test``."""
        return {"training": self.training, "validation": self.validation, "test": self.test}[name]

    def leaks(self, judged: Sequence[SplitCase] | None = None) -> list[str]:
        """Say which test cases are of a patient, or are the very image, that was trained or validated on.

        Args:
            judged: the test cases; default those of the split.
        """
        test = self.test if judged is None else judged
        roles = [
            *((case, "training") for case in self.training),
            *((case, "validation") for case in self.validation),
            *((case, "test") for case in test),
        ]
        sentences: dict[tuple[str, ...], str] = {}
        for key, what in (("voxels", "are the same image"), ("patient", "are of one patient")):
            groups: dict[str, list[tuple[str, str]]] = {}
            for case, role in roles:
                for value in dict.fromkeys(case.seen if key == "voxels" else (case.patient,)):
                    groups.setdefault(value, []).append((case.name, role))
            for group in groups.values():
                shown = {role for _, role in group}
                if "test" in shown and len(shown) > 1:
                    named = tuple(f"{name} ({role})" for name, role in group)
                    sentences.setdefault(named, f"{' and '.join(named)} {what}, which flatters the result")
        return list(sentences.values())


def parse_split(data: object, path: Path) -> Split:
    """Read what :meth:`Split.to_json` wrote.

    Raises:
        DataError: it is something else.
    """
    from spine_ignite.validation_errors import describe

    try:
        return Split.model_validate(data, strict=False)
    except ValidationError as error:
        raise DataError(f"{path} is not a split of this version: {describe(error, Split)}") from error


def read_json(path: Path) -> object:
    """Read the file of a record.

    Raises:
        FileNotFoundError: there is none.
        DataError: it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}; restore it") from error


def read_split(path: Path) -> Split:
    """Read the ``split.json`` of a run.

    Raises:
        RunError: there is none: the run was made by an older version.
        DataError: it cannot be read.
    """
    try:
        data = read_json(path)
    except FileNotFoundError:
        raise RunError(
            f"{path.parent} has no {path.name}, so that its training, validation and test cases are not known; train "
            "it again with this version"
        ) from None
    return parse_split(data, path)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """SHA-256 of a case's image file, or of all images of its exam together, and of its mask file, or None."""

    image: str
    mask: str | None


def of_files(case: Case) -> Fingerprint:
    """Return the fingerprint of a case's files as they are now.

    Raises:
        DataError: a file cannot be read.
    """
    mask = volume_sha256(case.label) if case.label is not None else None
    return Fingerprint(contrasts_sha256(case.image, case.images), mask)


def require_same(
    recorded: Sequence[SplitCase],
    found: Mapping[str, Found],
    fingerprint: Callable[[Found], Fingerprint],
    root: Path,
    source: Path,
) -> None:
    """Refuse data that is not what a split was made of; a mask that was not there may have come.

    Args:
        recorded: the cases that are needed.
        found: what there is, by name.
        fingerprint: what it is now.
        root: the dataset.
        source: the file of the split.

    Raises:
        DataError: a case is gone, or its image or mask is another one; the message names all such cases.
    """
    wrong: dict[str, list[str]] = {}
    for case in recorded:
        if case.name not in found:
            wrong.setdefault("it has no case", []).append(case.name)
            continue
        now = fingerprint(found[case.name])
        if now.image != case.image:
            wrong.setdefault("another image has", []).append(case.name)
        if case.mask is not None and now.mask is None:
            wrong.setdefault("no mask has", []).append(case.name)
        elif case.mask is not None and now.mask != case.mask:
            wrong.setdefault("another mask has", []).append(case.name)
    if wrong:
        said = "; ".join(f"{what} {listed(names)}" for what, names in wrong.items())
        raise DataError(f"dataset {root} is not what {source} records: {said}; restore these files or begin a new run")


def unused(split: Split, names: Iterable[str], where: str) -> list[str]:
    """Say in a line which cases of a dataset are in no part of a split; no line if there are none."""
    known = {case.name for case in split.cases}
    others = [name for name in names if name not in known]
    what = "1 case is" if len(others) == 1 else f"{len(others)} cases are"
    return [f"{what} in {where} but in no part of the split: {listed(others)}"] if others else []
