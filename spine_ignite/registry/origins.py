"""From which distribution a run has what it names: names are resolved by it, whatever has been installed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from spine_ignite.registry.claims import Distribution

_REMEMBERED: ContextVar[Mapping[str, Distribution] | None] = ContextVar("remembered", default=None)


def origin_key(kind: str, name: str) -> str:
    """Return the key of a component in a record of origins, such as ``loss dice_ce``."""
    return f"{kind} {name}"


@contextmanager
def remembering(origins: Mapping[str, Distribution]) -> Iterator[None]:
    """Resolve the names in ``origins`` by their distributions while the block runs, in its thread alone.

    Args:
        origins: by :func:`origin_key`.
    """
    token = _REMEMBERED.set({**(_REMEMBERED.get() or {}), **origins})
    try:
        yield
    finally:
        _REMEMBERED.reset(token)


def remembered(kind: str, name: str) -> Distribution | None:
    """Return the distribution that a name is to be resolved by; None: whichever has it."""
    return (_REMEMBERED.get() or {}).get(origin_key(kind, name))
