"""``spine-ignite show-model``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from spine_ignite.cli.options import echo_json, json_option, print_table, say
from spine_ignite.names import counted

if TYPE_CHECKING:
    from spine_ignite.spec import ModelSpec


@click.command(epilog="\b\nExample:\n  spine-ignite show-model unet --classes 20 --set width=64")
@click.argument("name")
@click.option("--in-channels", default=1, show_default=True, help="Input channels of the network that is counted.")
@click.option("--classes", default=20, show_default=True, help="Classes of the network that is counted.")
@click.option("--set", "overrides", multiple=True, metavar="OPTION=VALUE", help="An option; may be repeated.")
@json_option
def command(name: str, in_channels: int, classes: int, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show the paper, the options and the number of parameters of the architecture NAME."""
    from spine_ignite.config import load_config
    from spine_ignite.registry import load_registry

    registry = load_registry()
    item = registry.find(name)
    chosen = load_config(None, [f"model.{text}" for text in overrides]).model.options
    options = registry.resolve_options(name, chosen).model_dump()
    parameters = _count(name, in_channels, classes, options)
    spec = item.value
    paper = spec.paper
    if as_json:
        echo_json(
            {
                "name": spec.name,
                "aliases": spec.aliases,
                "plugin": str(item.distribution),
                "summary": spec.summary,
                "paper": {"title": paper.title, "authors": paper.authors, "venue": paper.venue, "year": paper.year}
                | {"url": paper.url, "bibtex_key": paper.bibtex_key},
                "options": _schema(spec),
                "chosen": options,
                "parameters": parameters,
            }
        )
        return
    say(f"{spec.name}: {spec.summary}")
    say(f"Paper:   {paper.authors}. {paper.title}. {paper.venue} {paper.year}. {paper.url}")
    say(f"Plugin:  {item.distribution}" + (f"; also called {', '.join(spec.aliases)}" if spec.aliases else ""))
    counts = [f"{parameters:,} parameters with {counted(in_channels, 'input channel')}", f"{classes} classes"]
    say("Size:    " + ", ".join(counts + [f"{name}={value}" for name, value in options.items()]))
    rows = [
        [option, _type(entry), repr(options[option]), str(entry.get("description", ""))]
        for option, entry in _schema(spec).items()
    ]
    print_table("Options (--set model.OPTION=VALUE when training)", ["option", "type", "value", "what it does"], rows)


def _schema(spec: ModelSpec) -> dict[str, dict[str, Any]]:
    properties: dict[str, dict[str, Any]] = spec.options.model_json_schema().get("properties", {})
    return properties


def _type(entry: dict[str, Any]) -> str:
    if "enum" in entry:
        return " | ".join(str(value) for value in entry["enum"])
    if "anyOf" in entry:
        return " | ".join(_type(part) for part in entry["anyOf"])
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = " ".join(f"{sign} {entry[key]}" for key, sign in bounds.items() if key in entry)
    return f"{entry.get('type', 'any')} {limits}".strip()


def _count(name: str, in_channels: int, classes: int, options: dict[str, Any]) -> int:
    import torch

    from spine_ignite.models import create_model

    with torch.device("meta"):  # no memory, no initial values: only the shapes count
        network = create_model(name, in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
