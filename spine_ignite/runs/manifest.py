"""The manifest of a run: what went into it and what came out, by SHA-256, as a chain that only grows.

``manifest.jsonl`` has a line of JSON for each act: a training, an evaluation, a clean-up that was learned. Each holds
the SHA-256 of the line before it (``former``), so that the SHA-256 of the last line, the head of the chain, stands for
all of them: whoever has noted it can tell later whether anything in them was changed. It is a record and no lock.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from spine_ignite.datasets.split import Fingerprint, Sha256
from spine_ignite.errors import RunError
from spine_ignite.files import explain, write_atomically
from spine_ignite.locks import lock_folder
from spine_ignite.validation_errors import describe
from spine_ignite.volumes.digests import file_sha256

NAME = "manifest.jsonl"
NOTHING = "0" * 64  # what the first line holds in place of the hash of a former one
_ATTEMPTS = 100  # to append while another process does
_SHORTEST = 12  # digits of a head that is given in short

Kind = Literal["training", "evaluation", "postprocessing", "prediction", "cross-validation", "study"]


class DataFile(BaseModel):
    """SHA-256 of a case's image and of its mask, if it has one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: Sha256
    mask: Sha256 | None


class Entry(BaseModel):
    """A line of a manifest.

    ``data`` are the cases that were read, by name, and ``files`` what lies in the run's folder since, by its path there
    with ``/``. ``parts`` are heads of the manifests of folders below, such as the folds of a cross-validation.
    ``code`` are versions by distribution, ``machine`` what :func:`.hardware.describe_hardware` gives, and ``settings``
    what else the act can be repeated by.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    kind: Kind
    former: Sha256
    made: Annotated[str, Field(max_length=40)]
    code: dict[str, str]
    machine: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, DataFile] = Field(default_factory=dict)
    files: dict[str, Sha256] = Field(default_factory=dict)
    parts: dict[str, Sha256] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("files", "parts")
    @classmethod
    def _within(cls, paths: dict[str, str]) -> dict[str, str]:
        for path in paths:
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path or not path:
                raise ValueError(f"{path!r} does not lie in the folder")
        return paths

    def to_line(self) -> bytes:
        """Return the line, with its end."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=True).encode() + b"\n"


class Chain(BaseModel):
    """A manifest that was read.

    Args:
        entries: what could be read, the oldest first.
        hashes: SHA-256 of each of their lines.
        problems: what is wrong with the file, a sentence each.
    """

    model_config = ConfigDict(frozen=True)

    entries: tuple[Entry, ...]
    hashes: tuple[str, ...]
    problems: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """SHA-256 of the last line; zeros if there is none."""
        return self.hashes[-1] if self.hashes else NOTHING

    def last(self, kind: Kind) -> Entry | None:
        """Return the newest entry of a kind."""
        return next((entry for entry in reversed(self.entries) if entry.kind == kind), None)

    @property
    def files(self) -> dict[str, tuple[str, int]]:
        """SHA-256 of each file by its path, as recorded last, and the number of that entry, from 0."""
        return {path: (sha256, n) for n, entry in enumerate(self.entries) for path, sha256 in entry.files.items()}

    @property
    def parts(self) -> dict[str, str]:
        """The heads of manifests below, as recorded last, by the folder's path."""
        return {path: head for entry in self.entries for path, head in entry.parts.items()}

    def upto(self, head: str) -> Chain | None:
        """Return the chain as it was when ``head`` (or its first digits, twelve at least) was its head; None: never."""
        if len(head) < _SHORTEST:
            return None
        for count, known in enumerate(self.hashes, 1):
            if known.startswith(head.lower()):
                return Chain(entries=self.entries[:count], hashes=self.hashes[:count], problems=self.problems)
        return None


def read_chain(root: Path) -> Chain | None:
    """Read the manifest of a run, a cross-validation or a study; None if there is none. Nothing in it is believed.

    Raises:
        RunError: the file cannot be read.
    """
    path = Path(root) / NAME
    try:
        lines = path.read_bytes().splitlines() if path.is_file() else None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error
    if lines is None:
        return None
    entries, hashes, problems, former = [], [], [], NOTHING
    for number, line in enumerate(lines, 1):
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError as error:
            problems.append(f"{path}, line {number}, is no entry of this version: {describe(error, Entry)}")
        else:
            if entry.former != former:
                problems.append(
                    f"{path}, line {number} ({entry.kind}), follows a line {entry.former[:_SHORTEST]}… that is not the "
                    "one before it: a line was changed, removed or added"
                )
            entries.append(entry)
            hashes.append(line_sha256(line))
        former = line_sha256(line)
    return Chain(entries=tuple(entries), hashes=tuple(hashes), problems=tuple(problems))


def line_sha256(line: bytes) -> str:
    """Return the hash of a line, without its end."""
    return hashlib.sha256(line.rstrip(b"\n")).hexdigest()


def head_of(root: Path) -> str | None:
    """Return the head of the manifest in a folder; None if there is none."""
    chain = read_chain(root)
    return None if chain is None or not chain.hashes else chain.head


def append_entry(
    root: Path,
    kind: Kind,
    *,
    code: Mapping[str, str],
    machine: Mapping[str, Any] | None = None,
    data: Mapping[str, Fingerprint] | None = None,
    files: Iterable[Path] = (),
    parts: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Add an entry to the manifest of a folder, and return the new head; nothing is added that the last entry says.

    Args:
        root: of a run, a cross-validation or a study.
        kind: of the act.
        code: versions by distribution.
        machine: what it ran on.
        data: the cases that were read.
        files: in ``root``, as they are now; those that are not there are left out.
        parts: heads of manifests below ``root``.
        settings: what else it can be repeated by, as plain data.

    Raises:
        RunError: the manifest cannot be written.
    """
    path = Path(root) / NAME
    content: dict[str, Any] = {
        "kind": kind,
        "made": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "code": dict(code),
        "machine": dict(machine or {}),
        "data": {name: {"image": case.image, "mask": case.mask} for name, case in (data or {}).items()},
        "files": {p.relative_to(root).as_posix(): file_sha256(p) for p in sorted(set(files)) if p.is_file()},
        "parts": dict(parts or {}),
        "settings": dict(settings or {}),
    }
    with ExitStack() as stack:
        _wait_for_lock(stack, Path(root))
        before = _content(path)
        lines = before.splitlines()
        entry = Entry(former=line_sha256(lines[-1]) if lines else NOTHING, **content)
        if lines and _says_the_same(lines[-1], entry):
            return entry.former
        if lines and not before.endswith(b"\n"):
            before += b"\n"
        line = entry.to_line()
        with write_atomically(path) as temporary:
            temporary.write_bytes(before + line)
    return line_sha256(line)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise RunError(explain(error, path)) from error


def _says_the_same(line: bytes, entry: Entry) -> bool:
    """Whether a line says what an entry does, but for when."""
    try:
        last = Entry.model_validate_json(line)
    except ValidationError:
        return False
    return last.model_copy(update={"made": entry.made, "former": entry.former}) == entry


def _wait_for_lock(stack: ExitStack, root: Path) -> None:
    """Take the lock of the manifest, which others hold for moments only."""
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            stack.enter_context(lock_folder(root, "writes its manifest", ".lock-manifest"))
        except RunError:
            if not attempts_left:
                raise
            time.sleep(0.05)
        else:
            return
