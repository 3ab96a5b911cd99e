"""The directory of a run: its files, and what is recorded about where it ran."""

from __future__ import annotations

import datetime
import json
import platform
import shlex
import shutil
import subprocess  # nosec B404 # fixed arguments, no shell
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from spine_ignite.config import RunConfig
from spine_ignite.errors import RunError
from spine_ignite.files import explain, guard, write_atomically
from spine_ignite.locks import lock_folder
from spine_ignite.ownership import listed, own_folder, remove_listed, require_ours
from spine_ignite.places import require_apart
from spine_ignite.runs.contents import RUN_CONTENTS
from spine_ignite.slices.place import store_folder

_LONGEST_LINE = 2**20  # bytes of a row; more is no row of ours
_PACKAGES = ("torch", "pytorch-ignite", "monai", "torchio", "nibabel", "numpy")


@dataclass(frozen=True)
class RunDirectory:
    """Paths in a run directory."""

    root: Path

    @property
    def config(self) -> Path:
        """The resolved configuration; ``train --config`` on it repeats the run."""
        return self.root / "config.yaml"

    @property
    def split(self) -> Path:
        """The training, validation and test cases; made when the run begins, and only read from then on."""
        return self.root / "split.json"

    @property
    def start(self) -> Path:
        """Where its first weights are from, and what of them was taken; there if they were not drawn at random."""
        return self.root / "start.json"

    @property
    def environment(self) -> Path:
        """Versions, device, git revision, data fingerprint."""
        return self.root / "environment.json"

    @property
    def manifest(self) -> Path:
        """What went into the run and what came out, by SHA-256, as a chain; see :mod:`.manifest`."""
        return self.root / "manifest.jsonl"

    @property
    def metrics(self) -> Path:
        """One JSON object a line and epoch."""
        return self.root / "metrics.jsonl"

    @property
    def doctor(self) -> Path:
        """What the training doctor found, one JSON object a line."""
        return self.root / "doctor.jsonl"

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.root / "checkpoints" / "last.pt"

    @property
    def previous(self) -> Path:
        """The checkpoint before the last, to resume from if that is damaged."""
        return self.root / "checkpoints" / "previous.pt"

    @property
    def best(self) -> Path:
        """The checkpoint with the best validation Dice."""
        return self.root / "checkpoints" / "best.pt"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.root / "tensorboard"

    @property
    def predictions(self) -> Path:
        """Predicted label volumes."""
        return self.root / "predictions"

    @property
    def postprocess(self) -> Path:
        """The clean-up that helps on the validation cases, if it was looked for."""
        return self.root / "postprocess.json"

    @property
    def evaluation(self) -> Path:
        """Tables and pictures of an evaluation."""
        return self.root / "evaluation"

    def clear(self, keep: Callable[[Path], bool] = lambda _path: False) -> list[Path]:
        """Delete the files of the former run in this directory; hold it (:meth:`own`) while doing so.

        Args:
            keep: says of a file among the predictions whether it stays all the same.

        Returns:
            What stays, since a run has no files of that name, or since it is to be kept.

        Raises:
            RunError: the directory was not made by this program, another process writes into a folder in it, or a file
                cannot be deleted.
        """
        with ExitStack() as stack:
            for lock in sorted(self.root.glob("*/*/.lock")):  # of an evaluation, say; it may be that of a killed one
                stack.enter_context(lock_folder(lock.parent, "writes into it"))
            splits = {self.predictions / name for name in ("test", "validation")}
            return remove_listed(
                self.root, "run", RUN_CONTENTS, lambda path: path.parent in splits and path.is_file() and keep(path)
            )

    @contextmanager
    def own(self) -> Iterator[None]:
        """Lock the directory of a new run, and mark it as ours; if the block fails, nothing of that stays.

        Raises:
            RunError: it holds something else, or another process trains in it.
        """
        with own_folder(self.root, "run", "is training in it"):
            yield

    @contextmanager
    def lock(self, what: str = "is training in it") -> Iterator[None]:
        """Hold the run's lock; ``what`` tells others what is going on.

        Raises:
            RunError: another process holds it.
        """
        with lock_folder(self.root, what):
            yield


def plan_run_directory(config: RunConfig, out: Path | None = None, force: bool = False) -> RunDirectory:
    """Choose the directory of a new run; nothing is written.

    Args:
        config: the run.
        out: the directory; None takes ``runs/<date>_<model>``, with a number if that is taken.
        force: a run that is already in ``out`` may be replaced.

    Raises:
        RunError: ``out`` holds something else, or a run and ``force`` is not given.
        UsageError: ``out`` lies in, is or holds the dataset, the slice store, the home or the working folder.
    """
    if out is None:
        today = datetime.date.today().isoformat()
        base = Path("runs") / f"{today}_{config.model.name.replace(':', '_')}"
        out = next(path for path in _numbered(base) if not path.exists())
    require_apart({"--out": out}, {**config.data.roots, "data.cache": store_folder(config.data)})
    require_ours(out, "run")
    try:
        holds_run = out.exists() and next(listed(out, RUN_CONTENTS), None) is not None
    except OSError as error:
        raise RunError(explain(error, out)) from error
    if holds_run and not force:
        raise RunError(
            f"{out} holds a run already; resume it with --resume {shlex.quote(str(out))}, or replace it with --force"
        )
    guard(out)
    return RunDirectory(out)


def open_run_directory(root: Path) -> RunDirectory:
    """Open the directory of an existing run.

    Raises:
        RunError: there is no run in ``root``.
    """
    run = RunDirectory(Path(root))
    if (run.root / "cross-validation.yaml").is_file():
        raise RunError(f"{root} is a cross-validation, no run; give one of its folds, such as {run.root / 'fold0'}")
    if not run.config.is_file():
        raise RunError(f"{root} is not a run directory: it has no config.yaml")
    guard(run.root)
    return run


def describe_environment(
    device: str,
    precision: str,
    fingerprint: str,
    plugin: object,
    components: Mapping[str, object],
    processes: int = 1,
    contrasts: Mapping[str, object] | None = None,
) -> str:
    """Return what a run should record about where it ran, as JSON.

    ``plugin`` is the distribution of the architecture, ``components`` those of all that the run uses, ``contrasts``
    what told those of each dataset, where there are any.
    """
    record: dict[str, Any] = {
        "versions": installed_versions(),
        "plugin": str(plugin),
        "components": {key: str(distribution) for key, distribution in components.items()},
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "device": device,
        "processes": processes,
        "precision": precision,
        "git_revision": _git_revision(),
        "data_fingerprint": fingerprint,
        **({"contrasts": dict(contrasts)} if contrasts else {}),
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    return json.dumps(record, indent=2) + "\n"


def installed_versions() -> dict[str, str | None]:
    """Return the versions of this program and of what its results depend on, by distribution."""
    return {name: _version(name) for name in ("spine-ignite", *_PACKAGES)}


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read a file of one JSON object a line and epoch, without a line that a crash cut off; no file has no rows.

    Rows are given one by one, so that a long run needs no more memory than a short one.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict) and isinstance(row.get("epoch"), int) and 0 <= row["epoch"] < 2**53:
                yield row


def truncate_metrics(path: Path, epoch: int) -> None:
    """Drop the lines of epochs after ``epoch``: a resumed run writes them again."""
    if path.is_file():
        with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in read_rows(path) if row["epoch"] <= epoch)


def _numbered(base: Path) -> Iterator[Path]:
    yield base
    number = 2
    while True:
        yield base.with_name(f"{base.name}_{number}")
        number += 1


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """Revision of the checkout that the code runs from, if it does."""
    here, git = Path(__file__).resolve().parent, shutil.which("git")
    if git is None:
        return None
    try:
        result = subprocess.run(  # nosec B603 # nothing of it comes from outside
            [git, "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None
