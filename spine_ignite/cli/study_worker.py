"""``spine-ignite study worker``: what the processes of a search run."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.options import say


@click.command(hidden=True)
@click.argument("study", type=click.Path(path_type=Path))
def command(study: Path) -> int:
    """Try what the search of a study proposes, one after the other, beside other workers."""
    from spine_ignite.studies.trials import work

    return work(study, say)
