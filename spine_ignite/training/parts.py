"""Parts of a network by name: its encoder, its head, or what the names of parameters begin with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from torch import nn

from spine_ignite.errors import UsageError, suggest
from spine_ignite.nn.padding import PaddedNetwork
from spine_ignite.registry import load_registry
from spine_ignite.runs.axes import axes_of, head_of
from spine_ignite.runs.description import Description

NAMED = ("encoder", "head")
_PADDED = "network."  # before each name of a network that the core pads


@dataclass(frozen=True, slots=True)
class Parts:
    """The names of a network's parameters, and which of them are its encoder and its head.

    Args:
        names: of all parameters, as the architecture has them.
        encoder: those of the part that sees the image first, without those of classes that it has of its own.
        head: those that give the classes, auxiliary logits too.
    """

    names: tuple[str, ...]
    encoder: frozenset[str]
    head: frozenset[str]

    @classmethod
    def by_names(
        cls, names: Iterable[str], encoder: Iterable[str] = ("encoder",), head: Iterable[str] = ("head",)
    ) -> Parts:
        """Tell the parts by what the names of their parameters begin with."""
        names = tuple(names)
        encoder, head = tuple(encoder), tuple(head)
        return cls(
            names,
            frozenset(name for name in names if _lies_in_any(name, encoder) and not _lies_in_any(name, head)),
            frozenset(name for name in names if _lies_in_any(name, head)),
        )

    def find(self, part: str, key: str) -> frozenset[str]:
        """Return the names of the parameters in a part.

        Args:
            part: ``encoder``, ``head``, what names begin with (``encoder.net.layer1``), or a pattern (``*.bias``).
            key: of the configuration, for the message.

        Raises:
            UsageError: the network has no such part.
        """
        if part in NAMED:
            found = self.encoder if part == "encoder" else self.head
        elif "*" in part:
            found = frozenset(name for name in self.names if fnmatchcase(name, part))
        else:
            found = frozenset(name for name in self.names if _lies_in(name, part))
        if not found:
            tops = sorted({*NAMED, *(name.partition(".")[0] for name in self.names)})
            raise UsageError(
                f"{key}: the network has no part '{part}'.{suggest(part, tops)} Parts: {', '.join(tops)}, and what "
                "the names of their parameters begin with"
            )
        return found

    def factors(self, of_parts: Mapping[str, float], key: str) -> dict[str, float]:
        """Return a factor for each parameter that lies in one of the parts; of several the smallest part counts.

        Raises:
            UsageError: the network lacks a part.
        """
        found = {part: self.find(part, key) for part in of_parts}
        order = sorted(of_parts, key=lambda part: (-len(found[part]), len(part), part))
        return {name: of_parts[part] for part in order for name in found[part]}


def parts_of(network: nn.Module, description: Description, path: Path) -> Parts:
    """Find the parts of a network.

    Args:
        network: as it is trained.
        description: of it.
        path: its run, for messages.
    """
    padded = isinstance(network, PaddedNetwork)
    names, head = (
        [name.removeprefix(_PADDED) if padded else name for name in found]
        for found in (dict(network.named_parameters()), head_of(axes_of(description, path)))
    )
    return Parts.by_names(names, load_registry().find(description.model).value.encoder, head)


def freeze(network: nn.Module, parts: Parts, frozen: Iterable[str]) -> list[nn.Module]:
    """Keep parts of a network from being trained.

    Args:
        network: whose parameters need no gradient from then on.
        parts: of it.
        frozen: their names.

    Returns:
        The modules that consist of such parameters alone, outermost first: for them to stay as they are, they must be
        in eval mode while the network is trained (running statistics, dropout).

    Raises:
        UsageError: the network lacks a part, or nothing is left to train.
    """
    if isinstance(network, PaddedNetwork):
        network = network.network
    names = {name for part in frozen for name in parts.find(part, "train.freeze")}
    if not names:
        return []
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name not in names)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UsageError(f"train.freeze={list(frozen)} leaves nothing of the network to train; freeze less")
    modules: list[nn.Module] = []
    _collect(network, "", names, modules)
    return modules


def _collect(module: nn.Module, prefix: str, names: set[str], found: list[nn.Module]) -> None:
    inside = [f"{prefix}{name}" for name, _ in module.named_parameters()]
    if inside and names.issuperset(inside):
        found.append(module)
        return
    for name, child in module.named_children():
        _collect(child, f"{prefix}{name}.", names, found)


def _lies_in_any(name: str, parts: Iterable[str]) -> bool:
    return any(_lies_in(name, part) for part in parts)


def _lies_in(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")
