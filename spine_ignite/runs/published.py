"""Networks that plugins bring with their weights: found by name wherever a run could be given."""

from __future__ import annotations

import re
from pathlib import Path

from spine_ignite.errors import RunError, UsageError, suggest
from spine_ignite.registry import Registered, load_registry
from spine_ignite.spec import Component

_NAME = re.compile(r"([A-Za-z0-9._-]+:)?[a-z][a-z0-9_-]*")


def published(name: str | Path) -> Registered[Component] | None:
    """Return what a distribution registered under this name (``name``, ``distribution:name``); None: nobody did.

    Raises:
        UsageError: two distributions claim the name, or there is a file or folder of this name too.
    """
    text = str(name)
    registry = load_registry()
    known = {item.value.name for item in registry.components("network")}
    if not _NAME.fullmatch(text) or text.rpartition(":")[2] not in known:
        return None
    found = registry.component("network", text)
    if Path(text).exists():
        raise UsageError(
            f"'{text}' is a network of {found.distribution}, and {Path(text).absolute()} is there too: give "
            f"'{found.distribution.name}:{found.value.name}' for the network, or './{text}' for what is there"
        )
    return found


def weights_of(item: Registered[Component]) -> Path:
    """Return the file of a published network.

    Raises:
        RunError: it is missing, as in a checkout in which it has not been made.
    """
    path = Path(item.value.target)
    if not path.is_file():
        raise RunError(
            f"the network '{item.value.name}' of {item.distribution} has no weights: {path} is missing; install a "
            "release of that distribution, or make the file as its README says"
        )
    return path


def nothing_of_this_name(name: str | Path) -> RunError:
    """Return an error about something that is neither a run, a file nor a published network."""
    known = sorted({item.value.name for item in load_registry().components("network")})
    return RunError(
        f"{name} is not a run directory, nor a file of weights or a published network.{suggest(str(name), known)} "
        f"Networks: {', '.join(known) or 'none is installed'}"
    )
