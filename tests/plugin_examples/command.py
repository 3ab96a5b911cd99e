"""A command: ``spine-ignite sizes FILE …`` says how large each structure of label volumes is.

Its distribution has an entry point in the group ``spine_ignite.commands``.
"""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.hookspecs import RegisterComponent, hookimpl
from spine_ignite.spec import Component


@hookimpl
def register_commands(register: RegisterComponent) -> None:
    """Register ``sizes``."""
    register(Component("sizes", f"{__name__}:sizes", "Say how large each structure of label volumes is."))


@click.command(epilog="\b\nExample:\n  spine-ignite sizes labels/*.nii.gz --scheme spider")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--scheme", default="mrspineseg", show_default=True, help="Label scheme.")
def sizes(files: tuple[Path, ...], scheme: str) -> None:
    """Say how large each structure of label volumes is, in cm³."""
    import numpy as np

    from spine_ignite.labels import load_scheme
    from spine_ignite.volumes.volume import read_label

    structures = load_scheme(scheme).classes[1:]
    for file in files:
        volume = read_label(file)
        voxel = abs(np.linalg.det(volume.affine[:3, :3])) / 1000
        found = ((c.name, np.isin(volume.array, c.values).sum() * voxel) for c in structures)
        click.echo(f"{file.name}: " + ", ".join(f"{name} {size:.1f}" for name, size in found if size))
