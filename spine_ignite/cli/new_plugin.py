"""``spine-ignite new-plugin``."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.options import echo_json, json_option, say

EPILOG = """\b
Examples:
  spine-ignite new-plugin spine-ignite-mynet --kind model
  cd spine-ignite-mynet && pip install -e '.[test]' && pytest
  spine-ignite new-plugin mylab-volumes --kind reader --suffix .mylab -o plugins/volumes
"""


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["model", "loss", "metric", "reader", "tracker", "command"]),
    required=True,
    help="What the plugin brings.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="A new folder; default: NAME, here.")
@click.option("--author", default="", help="For the licence and the metadata.")
@click.option("--suffix", default=".npz", show_default=True, help="Of a reader: the ending of the files that it reads.")
@json_option
def command(name: str, kind: str, out: Path | None, author: str, suffix: str, as_json: bool) -> None:
    """Write a new plugin: a distribution NAME that installs, passes its tests, and does something small as it is.

    What a configuration calls it is NAME without `spine-ignite-`.
    """
    from spine_ignite.scaffold.new_plugin import new_plugin

    made = new_plugin(name, kind, out, author=author, suffix=suffix)
    if as_json:
        names = made.names
        echo_json(
            {"folder": made.folder, "kind": kind, "distribution": names.distribution, "package": names.package}
            | {"name": names.component, "files": made.files}
        )
        return
    say(f"Written: {made.folder}, the {kind} '{made.names.component}' as the distribution {made.names.distribution}")
    say(f"Next:    cd {made.folder} && pip install -e '.[test]' && pytest")
