"""``spine-ignite list-components``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from spine_ignite.cli.options import echo_json, json_option, print_table, say

if TYPE_CHECKING:
    from spine_ignite.registry import Registered
    from spine_ignite.spec import Component

KINDS = (
    *("loss", "optimizer", "schedule", "metric", "tracker", "reader", "layout", "label-scheme", "cleanup-step"),
    *("network", "command"),
)


@click.command(epilog="\b\nExample:\n  spine-ignite list-components --kind loss")
@click.option("--kind", type=click.Choice(KINDS), help="Only those of one kind.")
@json_option
def command(kind: str | None, as_json: bool) -> None:
    """List what a configuration can name, kind by kind, and the plugins that failed to load.

    Architectures have a list of their own: `spine-ignite list-models`.
    """
    from spine_ignite.registry import KINDS as ABOUT
    from spine_ignite.registry import load_registry

    registry = load_registry()
    found = {name: registry.components(name) for name in KINDS if kind in (None, name)}
    if as_json:
        echo_json(
            {
                "components": [_plain(name, item) for name, items in found.items() for item in items],
                "broken": [
                    {"entry_point": b.entry_point, "plugin": str(b.distribution), "error": b.error}
                    for b in registry.broken
                ],
                "clashes": registry.clashes,
            }
        )
        return
    rows = [
        [name, item.value.name, ABOUT[name].named, str(item.distribution), _summary(item.value)]
        for name, items in found.items()
        for item in items
    ]
    print_table("", ["kind", "name", "named by", "plugin", "what it is"], rows)
    tell_trouble(registry.broken, registry.clashes)


def tell_trouble(broken: list[Any], clashes: list[str]) -> None:
    """Say on stderr which plugins cannot be used and why, and which names are claimed twice."""
    for plugin in broken:
        say(f"Broken plugin '{plugin.entry_point}' ({plugin.distribution}): {plugin.error}", err=True)
    for clash in clashes:
        say(f"Clash: {clash}; name one as DISTRIBUTION:NAME", err=True)


def _summary(component: Component) -> str:
    return f"{component.summary} ({', '.join(component.suffixes)})" if component.suffixes else component.summary


def _plain(kind: str, item: Registered[Component]) -> dict[str, Any]:
    component = item.value
    return {
        "kind": kind,
        "name": component.name,
        "plugin": item.distribution.name,
        "version": item.distribution.version,
        "summary": component.summary,
        "suffixes": component.suffixes,
        "options": component.options.model_json_schema().get("properties", {}) if component.options else None,
    }
