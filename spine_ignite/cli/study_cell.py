"""``spine-ignite study cell``: what the processes of a study run."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.options import say


@click.command(hidden=True)
@click.argument("study", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--open-test", is_flag=True, help="Judge it on the test cases, whose opening has been recorded.")
def command(study: Path, name: str, open_test: bool) -> int:
    """Train the cell NAME of a study, or go on with it, and judge it on its validation cases."""
    if open_test:
        from spine_ignite.studies.opening import judge_cell

        return judge_cell(study, name, say)
    from spine_ignite.studies.cell import run_cell

    return run_cell(study, name, say)
