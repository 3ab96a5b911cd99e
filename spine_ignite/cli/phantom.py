"""``spine-ignite phantom``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spine_ignite.cli.options import echo_json, json_option, progress_bar, say
from spine_ignite.errors import UsageError


@click.command(
    epilog="\b\nExamples:\n  spine-ignite phantom dataset --train 20 --test 5 --seed 1 --picture phantoms.png\n"
    "  spine-ignite phantom varied --train 200 --test 20 --contrast mixed --view any --variety 1 --scheme spine"
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--train", type=click.IntRange(0), default=20, show_default=True, help="Training cases.")
@click.option("--test", type=click.IntRange(0), default=6, show_default=True, help="Test cases.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, other people.")
@click.option("--slices", type=click.IntRange(3, 64), help="Slices per volume; default 11 to 15.")
@click.option(
    "--contrast",
    type=click.Choice(["t1", "t2", "stir", "pd", "water", "random", "mixed"]),
    default="t2",
    show_default=True,
    help="Weighting; 'water' of a Dixon scan, 'random' signals of the tissues, 'mixed': any of these.",
)
@click.option(
    "--view", type=click.Choice(["lumbar", "any"]), default="lumbar", show_default=True, help="What scans show."
)
@click.option(
    "--variety",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="0: plain anatomy and scans; 1: variants, slips, fractures, scoliosis, any spacing.",
)
@click.option(
    "--scheme", type=click.Choice(["mrspineseg", "spine"]), default="mrspineseg", show_default=True, help="Of labels."
)
@click.option("--picture", type=click.Path(path_type=Path), help="Also write a PNG of the first cases.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty; only phantoms are replaced.")
@json_option
def command(
    folder: Path,
    train: int,
    test: int,
    seed: int,
    slices: int | None,
    picture: Path | None,
    force: bool,
    as_json: bool,
    **shown: Any,
) -> None:
    """Write a synthetic sagittal dataset with labels into FOLDER; plain T2-weighted lumbar spines by default."""
    from spine_ignite.phantom import PhantomOptions, write_phantoms

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UsageError(f"{folder} is not empty; choose another folder, or add to it with --force")
    options = PhantomOptions(**shown)
    write_phantoms(folder, train, test, seed, slices, lambda jobs: progress_bar(jobs, "Phantoms"), options)
    if picture is not None:
        from spine_ignite.phantom.picture import write_picture

        write_picture(picture, min(4, max(1, train)), seed, options)
    if as_json:
        echo_json({"folder": folder, "train": train, "test": test, "seed": seed, "picture": picture})
    else:
        say(f"{train} training and {test} test cases written to {folder}")
