"""The published settings in configs/models name architectures, options and losses that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from spine_ignite.config import load_config
from spine_ignite.losses.criterion import create_loss
from spine_ignite.registry import load_registry

FOLDER = Path(__file__).parents[2] / "configs" / "models"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_settings_can_be_used(path: Path) -> None:
    config = load_config(path, [])
    registry = load_registry()
    assert config.model.name == path.stem
    registry.resolve_options(config.model.name, config.model.options)
    create_loss(config.loss, 4)


def test_every_architecture_has_its_settings() -> None:
    first_party = {
        item.value.name for item in load_registry().models() if item.distribution.name.startswith("spine-ignite-")
    }
    assert {path.stem for path in FOLDER.glob("*.yaml")} == first_party
