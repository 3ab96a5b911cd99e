"""TorchIO transforms by name, for the loader's workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torchio as tio

from spine_ignite.errors import UsageError, suggest


def resolve_torchio(entries: Sequence[dict[str, dict[str, Any]]]) -> Any:
    """Build a ``torchio.Compose`` from ``[{RandomSwap: {patch_size: 8}}, …]``.

    Raises:
        UsageError: a name is not a TorchIO transform, or its arguments are refused.
    """
    return tio.Compose([_build(entry) for entry in entries])


def _build(entry: dict[str, dict[str, Any]]) -> Any:
    if len(entry) != 1:
        raise UsageError(f"augment.torchio: each entry is one transform with its arguments, got {sorted(entry)}")
    ((name, arguments),) = entry.items()
    known = {
        key: value
        for key, value in vars(tio).items()
        if isinstance(value, type)
        and issubclass(value, tio.Transform)
        and key not in ("Transform", "Compose", "Lambda")
    }
    if name not in known:
        by_lower = {key.lower(): key for key in known}
        closest = suggest(name, by_lower)
        for lower, key in by_lower.items():
            closest = closest.replace(f"'{lower}'", f"'{key}'")
        raise UsageError(f"augment.torchio: TorchIO has no transform '{name}'.{closest}")
    try:
        return known[name](**(arguments or {}))
    except (TypeError, ValueError) as error:
        raise UsageError(f"augment.torchio: {name} refuses its arguments: {' '.join(str(error).split())}") from error
