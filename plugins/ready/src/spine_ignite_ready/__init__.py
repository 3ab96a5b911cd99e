"""The network ``ready`` as a spine-ignite plugin: a file of weights, and its name."""

from __future__ import annotations

from pathlib import Path

from spine_ignite.hookspecs import RegisterComponent, hookimpl
from spine_ignite.spec import Component

WEIGHTS = Path(__file__).with_name("ready.safetensors")  # made by `make ready`


@hookimpl
def register_networks(register: RegisterComponent) -> None:
    """Register ``ready``."""
    register(Component("ready", str(WEIGHTS), "Spine, any contrast (scheme spine), from phantoms alone"))
