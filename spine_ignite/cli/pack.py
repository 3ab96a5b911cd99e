"""``spine-ignite pack``."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click

from spine_ignite.cli.options import echo_json, json_option
from spine_ignite.errors import UsageError


@click.command(epilog="\b\nExample:\n  spine-ignite pack runs/2026-01-31_unet runs/2026-01-31_ccnet -o logs.zip")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="A .zip or .tar.gz file.")
@click.option("--checkpoints", is_flag=True, help="Include the weights.")
@click.option(
    "--predictions", is_flag=True, help="Include predicted volumes, and the pictures and reports that show scans."
)
@json_option
def command(runs: tuple[Path, ...], out: Path, checkpoints: bool, predictions: bool, as_json: bool) -> None:
    """Pack configuration, logs and evaluation of RUNS into one file, a folder per run.

    TensorBoard's logs hold sample pictures of validation slices (log.pictures_every: 0 keeps them out).
    """
    from spine_ignite.engines.run_directory import open_run_directory
    from spine_ignite.files import write_atomically

    if not out.name.endswith((".zip", ".tar.gz", ".tgz")):
        raise UsageError(f"--out {out} must end in .zip or .tar.gz")
    scans = {"predictions", "pictures", "report.html"}
    skipped = {".lock"} | (set() if checkpoints else {"checkpoints"}) | (set() if predictions else scans)
    files: list[tuple[Path, str]] = []
    folders: set[str] = set()
    for run in runs:
        root = open_run_directory(run).root.resolve()
        folder = next(name for name in _numbered(root.name) if name not in folders)
        folders.add(folder)
        files += [(path, f"{folder}/{path.relative_to(root).as_posix()}") for path in _files(root, skipped)]
    files = [(path, name) for path, name in files if path != out.resolve()]
    with write_atomically(out) as temporary:
        _write(temporary, files, out.suffix == ".zip")
    if as_json:
        echo_json({"file": out, "files": [name for _, name in files]})
    else:
        click.echo(f"{len(files)} files of {len(runs)} runs packed into {out}")


def _files(root: Path, skipped: set[str]) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        # A link may point anywhere: only what lies in the run is packed.
        if path.is_file() and not path.is_symlink() and skipped.isdisjoint(inside.parts):
            yield path


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _write(target: Path, files: list[tuple[Path, str]], as_zip: bool) -> None:
    if as_zip:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, name in files:
                archive.write(path, name)
        return
    with tarfile.open(target, "w:gz") as archive:
        for path, name in files:
            archive.add(path, name)
