"""The test set of a study: sealed by fingerprint when it is made, and a record of each time that it is opened.

A seal is a record and no lock: nothing hinders anyone from looking at the test cases by other means. But what a study
says of them, it says with the number of times that it has looked.
"""

from __future__ import annotations

import datetime
import getpass
import hashlib
import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from spine_ignite.config import DataConfig
from spine_ignite.datasets.sources import find_configured
from spine_ignite.datasets.split import Name, Record, Sha256, SplitCase, of_files, read_json, require_same
from spine_ignite.errors import DataError
from spine_ignite.files import write_text
from spine_ignite.locks import lock_folder
from spine_ignite.studies.study_directory import StudyDirectory
from spine_ignite.validation_errors import describe
from spine_ignite.version import __version__


class SealedCase(Record):
    """A test case: SHA-256 of its image and of its mask, None if it has none."""

    name: Name
    image: Sha256
    mask: Sha256 | None


class Seal(Record):
    """The test set when the study was made, and one SHA-256 over all of it."""

    format: Literal[1] = 1
    made: str
    cases: tuple[SealedCase, ...]
    sha256: Sha256


class Opening(Record):
    """One time that the test set was opened.

    Args:
        when: in UTC.
        who: user and machine.
        version: of spine-ignite.
        seal: SHA-256 of the test set then, which is that of the seal.
        weights: SHA-256 of the network of each cell that was judged.
        beside: cells that had been judged on the test set by then though no opening named their network.
    """

    when: str
    who: str
    version: str
    seal: Sha256
    weights: dict[str, Sha256]
    beside: tuple[str, ...] = ()


class Openings(Record):
    """All of them, the first first."""

    format: Literal[1] = 1
    openings: tuple[Opening, ...] = ()


def make_seal(cases: Sequence[SplitCase]) -> Seal:
    """Seal test cases as a split records them."""
    sealed = tuple(SealedCase(name=case.name, image=case.image, mask=case.mask) for case in cases)
    return Seal(made=_now(), cases=sealed, sha256=digest_of(sealed))


def digest_of(cases: Sequence[SealedCase]) -> str:
    """Return the SHA-256 over the lines ``name image mask`` of all cases, ordered by name; ``-`` for no mask."""
    lines = sorted(f"{json.dumps(case.name)} {case.image} {case.mask or '-'}\n" for case in cases)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_seal(directory: StudyDirectory) -> Seal:
    """Read the seal of a study.

    Raises:
        DataError: it is gone or damaged.
    """
    try:
        seal = Seal.model_validate(read_json(directory.seal), strict=False)
    except FileNotFoundError as error:
        raise DataError(f"{directory.seal} is gone, so that the test set is not known to be the sealed one") from error
    except ValidationError as error:
        raise DataError(f"{directory.seal} is no seal of this version: {describe(error, Seal)}") from error
    if digest_of(seal.cases) != seal.sha256:
        raise DataError(f"{directory.seal} was changed: its cases have another SHA-256 than it says; restore it")
    return seal


def require_sealed(directory: StudyDirectory, data: DataConfig, test: Sequence[SplitCase]) -> Seal:
    """Refuse a test set that is not the sealed one, image by image and mask by mask, read from the files as they are.

    Args:
        directory: of the study.
        data: where the cases lie.
        test: the test cases as the study's folds record them.

    Raises:
        DataError: a file is gone or another one, or the seal and the folds do not agree.
    """
    seal = read_seal(directory)
    if make_seal(test).sha256 != seal.sha256:
        raise DataError(f"{directory.seal} and {directory.splits} do not name the same test cases; restore them")
    wanted = {case.name for case in test}
    cases = {case.name: case for case in find_configured(data).cases if case.name in wanted}
    require_same(test, cases, of_files, data.root, directory.seal)
    return seal


def read_openings(directory: StudyDirectory) -> tuple[Opening, ...]:
    """Return every opening of the test set, the first first.

    Raises:
        DataError: the record was damaged.
    """
    try:
        return Openings.model_validate(read_json(directory.openings), strict=False).openings
    except FileNotFoundError:
        return ()
    except ValidationError as error:
        raise DataError(f"{directory.openings} cannot be read: {describe(error, Openings)}; restore it") from error


def record_opening(directory: StudyDirectory, seal: Seal, weights: Mapping[str, str]) -> Opening:
    """Record that the test set is opened now; an opening of the very same networks that was recorded stays the one.

    Raises:
        RunError: another process is recording, or the record cannot be written.
    """
    with lock_folder(directory.root, "is opening its test set", ".lock-opening"):
        known = read_openings(directory)
        if known and known[-1].weights == dict(weights) and known[-1].seal == seal.sha256:
            return known[-1]
        who = f"{_user()} on {socket.gethostname()}"
        beside = tuple(judged_beside(directory, list(weights)))  # once it is opened, they cannot be told any more
        opening = Opening(
            when=_now(), who=who, version=__version__, seal=seal.sha256, weights=dict(weights), beside=beside
        )
        write_text(directory.openings, Openings(openings=(*known, opening)).to_json())
        return opening


def judged_beside(directory: StudyDirectory, cells: Sequence[str]) -> list[str]:
    """Return the cells that were judged on the test set though no opening named their network then.

    Args:
        directory: of the study.
        cells: names of its cells.
    """
    openings = read_openings(directory)
    opened = {name for opening in openings for name in opening.weights}
    found = {name for opening in openings for name in opening.beside}
    now = {name for name in cells if name not in opened and _is_judged(directory.run(name).evaluation / "test")}
    return [name for name in cells if name in found | now]


def _is_judged(folder: Path) -> bool:
    return (folder / "summary.json").is_file()


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may have no name for it
        return "unknown"
