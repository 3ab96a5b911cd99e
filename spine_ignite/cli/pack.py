"""``spine-ignite pack``."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click

from spine_ignite.cli.options import echo_json, json_option, say
from spine_ignite.errors import RunError, UsageError
from spine_ignite.names import counted


@click.command(epilog="\b\nExample:\n  spine-ignite pack runs/2026-01-31_unet runs/2026-01-31_ccnet -o logs.zip")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="A .zip or .tar.gz file.")
@click.option("--checkpoints", is_flag=True, help="Include the weights.")
@click.option(
    "--predictions", is_flag=True, help="Include predicted volumes, and the pictures and reports that show scans."
)
@json_option
def command(runs: tuple[Path, ...], out: Path, checkpoints: bool, predictions: bool, as_json: bool) -> None:
    """Pack configuration, logs and evaluation of RUNS, or cross-validations, into one file, a folder for each.

    Only files that a run is known to have are packed. They hold names of cases and folders, as config.yaml does.
    """
    from spine_ignite.files import explain
    from spine_ignite.runs.contents import Sort, files_of_run
    from spine_ignite.runs.directory import open_run_directory
    from spine_ignite.runs.event_files import holds_only_numbers
    from spine_ignite.runs.folds_directory import FoldsDirectory, open_folds_directory

    if not out.name.endswith((".zip", ".tar.gz", ".tgz")):
        raise UsageError(f"--out {out} must end in .zip or .tar.gz")
    wanted = {Sort.LOG: True, Sort.WEIGHTS: checkpoints, Sort.SCANS: predictions}
    files: list[tuple[Path, str]] = []
    folders: set[str] = set()
    left_out: list[Path] = []
    for run in runs:
        is_folds = FoldsDirectory(run).exists
        root = (open_folds_directory(run) if is_folds else open_run_directory(run)).root.resolve()
        folder = next(name for name in _numbered(root.name) if name not in folders)
        folders.add(folder)
        parts = [root, *(path.parent for path in sorted(root.glob("fold*/config.yaml")) if is_folds)]
        try:
            sorts = [sort for sort, is_wanted in wanted.items() if is_wanted]
            found = [path for part in parts for path in files_of_run(part, sorts)]
        except OSError as error:
            raise RunError(explain(error, root)) from error
        for path in found:
            if not predictions and path.parent.name == "tensorboard" and not holds_only_numbers(path):
                left_out.append(path)  # a plugin, say, may log pictures
            else:
                files.append((path, f"{folder}/{path.relative_to(root).as_posix()}"))
    _pack(out, files)
    if as_json:
        echo_json({"file": out, "files": [name for _, name in files], "left_out": left_out})
        return
    say(f"{counted(len(files), 'file')} of {counted(len(runs), 'run')} packed into {out}")
    for path in left_out:
        say(f"Left out: {path} may hold pictures; --predictions includes it", err=True)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _pack(out: Path, files: list[tuple[Path, str]]) -> None:
    """Write the archive, which nobody can read who cannot read all that is in it."""
    from spine_ignite.files import write_atomically

    with write_atomically(out) as temporary:
        rights = temporary.stat().st_mode & 0o777
        for path, _ in files:
            rights &= path.stat().st_mode | 0o700
        temporary.chmod(rights)
        if out.suffix == ".zip":
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
                for path, name in files:
                    archive.write(path, name)
            return
        with tarfile.open(temporary, "w:gz") as tar:
            for path, name in files:
                tar.add(path, name, filter=_nameless)


def _nameless(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who owns the file."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
