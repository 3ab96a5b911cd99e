"""``spine-ignite list-models``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from spine_ignite.cli.list_components import tell_trouble
from spine_ignite.cli.options import echo_json, json_option, print_table, say

if TYPE_CHECKING:
    from spine_ignite.spec import ModelSpec


@click.command(epilog="\b\nExample:\n  spine-ignite list-models --json")
@json_option
def command(as_json: bool) -> None:
    """List every installed architecture, networks that are trained already, and the plugins that failed to load."""
    from spine_ignite.registry import load_registry

    registry = load_registry()
    models = registry.models()
    if as_json:
        echo_json(
            {
                "models": [
                    {
                        "name": item.value.name,
                        "aliases": item.value.aliases,
                        "plugin": item.distribution.name,
                        "version": item.distribution.version,
                        "paper": {
                            "title": p.title,
                            "authors": p.authors,
                            "venue": p.venue,
                            "year": p.year,
                            "url": p.url,
                        },
                        "encoder": _encoder(item.value),
                        "parameters": item.value.parameters,
                        "summary": item.value.summary,
                    }
                    for item in models
                    for p in [item.value.paper]
                ],
                "networks": [
                    {
                        "name": item.value.name,
                        "plugin": item.distribution.name,
                        "version": item.distribution.version,
                        "summary": item.value.summary,
                    }
                    for item in registry.components("network")
                ],
                "broken": [
                    {"entry_point": b.entry_point, "plugin": str(b.distribution), "error": b.error}
                    for b in registry.broken
                ],
                "clashes": registry.clashes,
            }
        )
        return
    rows = [
        [
            ", ".join((item.value.name, *item.value.aliases)),
            f"{item.value.paper.venue} {item.value.paper.year}",
            _encoder(item.value),
            f"{item.value.parameters / 1e6:.2f}" if item.value.parameters else "",
            str(item.distribution),
            item.value.summary,
        ]
        for item in models
    ]
    print_table("", ["model", "paper", "encoder", "M parameters", "plugin", "what it is"], rows)
    if not models:
        say("No architecture is installed; from a checkout: pip install -r plugins/requirements.txt")
    for item in registry.components("network"):
        name = item.value.name
        say(f"Trained: {name} ({item.distribution}): {item.value.summary}; spine-ignite predict {name} SCAN -o DIR")
    tell_trouble(registry.broken, registry.clashes)


def _encoder(spec: ModelSpec) -> str:
    """The default encoder; an architecture without that choice has its own."""
    field = spec.options.model_fields.get("backbone") or spec.options.model_fields.get("variant")
    return "own" if field is None or field.default == "none" else str(field.default)
