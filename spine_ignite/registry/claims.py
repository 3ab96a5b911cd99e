"""Who registered what: a name that two distributions claim belongs to nobody until one of them is named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Generic, TypeVar

from spine_ignite.errors import UsageError, suggest

T = TypeVar("T")
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99} [A-Za-z0-9][A-Za-z0-9.+!_-]{0,99}")  # nothing for a shell


@dataclass(frozen=True, slots=True)
class Distribution:
    """The installed distribution that a plugin comes from."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @classmethod
    def parse(cls, text: str) -> Distribution:
        """Read what ``str`` gave.

        Raises:
            ValueError: the text is not that.
        """
        if not _NAMED.fullmatch(text):
            raise ValueError("what is said about a plugin's distribution is no name with a version")
        name, _, version = text.rpartition(" ")
        return cls(name, version)

    @classmethod
    def of(cls, point: EntryPoint) -> Distribution:
        """Return the distribution of an entry point."""
        dist = point.dist
        return cls(dist.name, dist.version) if dist is not None else cls("unknown", "0")


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that could not be used, and why."""

    entry_point: str
    distribution: Distribution
    error: str


@dataclass(frozen=True, slots=True)
class Registered(Generic[T]):
    """Something registered, and by which distribution."""

    value: T
    distribution: Distribution


class Shelf(Generic[T]):
    """Registered things of one kind by name.

    Args:
        words: what the kind is called in a sentence.
        core: the distribution whose names stay its own, whoever else claims them.
    """

    def __init__(self, words: str, core: Distribution) -> None:
        self.words = words
        self.core = core
        self.entries: dict[str, list[Registered[T]]] = {}

    def add(self, name: str, item: Registered[T]) -> None:
        """Add a claim to a name."""
        claims = self.entries.setdefault(name, [])
        if all(claim.distribution != item.distribution for claim in claims):
            claims.append(item)

    def find(self, name: str) -> Registered[T]:
        """Return what has this name, the core's own if it has one; ``distribution:name`` chooses a distribution.

        Raises:
            UsageError: nothing has it, or two distributions claim it.
        """
        distribution, _, bare = name.rpartition(":")
        claims = [c for c in self.entries.get(bare, []) if not distribution or c.distribution.name == distribution]
        if len(claims) == 1 or (claims and claims[0].distribution == self.core):
            return claims[0]
        if claims:
            owners = " and ".join(str(claim.distribution) for claim in claims)
            choice = f"'{claims[0].distribution.name}:{bare}'"
            raise UsageError(
                f"{self.words} '{bare}' is registered by both {owners}; uninstall one, or choose with {choice}"
            )
        listed = ", ".join(sorted(self.entries)) or "none"
        raise UsageError(f"there is no {self.words} '{name}'.{suggest(bare, self.entries)} Installed: {listed}")

    def all(self) -> list[Registered[T]]:
        """Return each thing once, in the order in which names were registered."""
        found: list[Registered[T]] = []
        for claims in self.entries.values():
            found += [claim for claim in claims if all(claim is not other for other in found)]
        return found

    def clashes(self) -> list[str]:
        """Names that more than one distribution claims, each as a sentence."""
        return [
            f"{self.words} '{name}' is registered by "
            + " and ".join(str(claim.distribution) for claim in claims)
            + (f", and is that of {self.core.name}" if claims[0].distribution == self.core else "")
            for name, claims in sorted(self.entries.items())
            if len(claims) > 1
        ]
