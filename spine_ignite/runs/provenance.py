"""Which distributions a run was made with: recorded when it begins, and what its names are resolved by ever after."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spine_ignite.config import RunConfig
from spine_ignite.config.components import components_of
from spine_ignite.datasets.find_cases import layout_of
from spine_ignite.errors import DataError
from spine_ignite.registry import Distribution, load_registry
from spine_ignite.registry.origins import origin_key, remembering
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.volumes.reader import reader_of


def origins_of(config: RunConfig, images: Iterable[Path] = ()) -> dict[str, Distribution]:
    """Return the distribution of everything that a run has from the installed plugins, and from the core.

    Args:
        config: of the run.
        images: that it reads.
    """
    registry = load_registry()
    found = {origin_key("model", config.model.name): registry.find(config.model.name).distribution}
    for use in components_of(config):
        found[origin_key(use.kind, use.name)] = registry.component(use.kind, use.name).distribution
    readers = {item.value.name: item for item in (reader_of(path) for path in images)}
    found |= {origin_key("reader", name): item.distribution for name, item in readers.items()}
    for root in config.data.roots.values():
        with suppress(DataError):  # whoever reads the dataset says so
            layout = layout_of(root)
            found[origin_key("layout", layout.value.name)] = layout.distribution
    return found


def read_origins(directory: RunDirectory) -> dict[str, Distribution]:
    """Return what a run recorded; nothing of a run whose record is gone or says nothing about it."""
    try:
        recorded = json.loads(directory.environment.read_text(encoding="utf-8"))["components"]
        return {str(key): Distribution.parse(text) for key, text in recorded.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def changed_versions(directory: RunDirectory) -> list[str]:
    """Say in a sentence each which distributions have another version now than when a run began."""
    installed = load_registry().distributions
    changed = {
        f"{then} is {now.version} now: what follows may differ from what the run would have become"
        for then in read_origins(directory).values()
        if (now := installed.get(then.name)) is not None and now.version != then.version
    }
    return sorted(changed)


@contextmanager
def as_recorded(directory: RunDirectory) -> Iterator[None]:
    """Resolve names as the run recorded them while the block runs."""
    with remembering(read_origins(directory)):
        yield
