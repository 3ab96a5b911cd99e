from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spine_ignite import cli
from spine_ignite.cli.list_components import KINDS
from spine_ignite.registry import KINDS as ABOUT

Install = Callable[..., Path]


def test_every_kind_can_be_asked_for() -> None:
    assert set(KINDS) == ABOUT.keys() - {"model"}


def test_the_table_names_kind_key_and_plugin(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("acme-losses", register_losses=["Component('edgy', 'acme.losses:edgy', 'Sharp borders')"])
    assert cli.run(["list-components", "--kind", "loss"]) == 0
    table = capsys.readouterr().out
    assert "mrspineseg" not in table
    (row,) = [line for line in table.splitlines() if "edgy" in line]
    assert row.split() == ["loss", "edgy", "loss.name", "acme-losses", "1.0", "Sharp", "borders"]


def test_json_holds_the_schema_of_options(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    source = """
from pydantic import Field
from spine_ignite.hookspecs import hookimpl
from spine_ignite.spec import Component, Options

class Edgy(Options):
    width: int = Field(3, ge=1, description="pixels of a border")

@hookimpl
def register_losses(register):
    register(Component("edgy", "acme.losses:edgy", "Sharp borders", Edgy))
"""
    install("acme-losses", source)
    assert cli.run(["list-components", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (edgy,) = [component for component in found["components"] if component["name"] == "edgy"]
    assert (edgy["kind"], edgy["plugin"], edgy["version"]) == ("loss", "acme-losses", "1.0")
    assert edgy["options"]["width"]["description"] == "pixels of a border"
    assert {"dice_ce", "mrspineseg"} <= {component["name"] for component in found["components"]}
    assert found["broken"] == found["clashes"] == []


@pytest.mark.parametrize("command", ["list-models", "list-components"])
def test_what_cannot_be_used_is_listed_with_its_reason(
    command: str, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("acme-losses", register_losses=["Component('edgy', 'a:b', '', contract=2)"])
    install("other-losses", register_losses=["Component('dice', 'a:b', '')"])
    assert cli.run([command]) == 0
    told = capsys.readouterr().err
    assert "Broken plugin 'acme_losses_plugin' (acme-losses 1.0): ValueError: made for version 2 of the plugin" in told
    assert "Clash: loss 'dice' is registered by spine-ignite 0.1.0 and other-losses 1.0, and is that of" in told
