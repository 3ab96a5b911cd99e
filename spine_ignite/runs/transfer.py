"""Weights from one network to another: all that fit, classes by their names, input channels by contrast and slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from spine_ignite.labels import LabelScheme
from spine_ignite.labels.mapping import map_scheme
from spine_ignite.runs.axes import Axes, axes_of
from spine_ignite.runs.description import Description
from spine_ignite.runs.weights import options_without_start

Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a network has from another one, and what it has not.

    Attributes:
        weights: the state dict, with the network's own values where nothing was taken.
        share: of its numbers, those that were taken.
        by_class: weights of which the rows of known classes were taken.
        by_channel: weights that were fitted to another number of input channels.
        left: weights that were not taken, with the reason.
        known: classes that both have.
        new: classes that the other one has not; they begin untrained.
        unused: classes of the other one alone.
    """

    weights: dict[str, Tensor]
    share: float
    by_class: tuple[str, ...]
    by_channel: tuple[str, ...]
    left: dict[str, str]
    known: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]


def transfer(
    weights: Mapping[str, Tensor],
    source: Description,
    path: Path,
    own: Mapping[str, Tensor],
    target: Description,
    root: Path,
) -> Transfer:
    """Take every weight of a network that fits another one; running statistics of normalisation too.

    A weight fits if both networks have one of its name whose axes are of the same sizes, or follow classes and input
    channels alike. On an axis of classes the rows of those are taken that both schemes have, by kind and name
    (:func:`spine_ignite.labels.mapping.map_scheme`); the background is the background. What belongs to a class or
    channel lies together there, also where blocks of pixels are folded into channels (Shi et al., CVPR 2016). On an
    axis of input channels each slice keeps its place beside the middle one; a slice further out than the source had
    begins with weights of 0, and where there are fewer slices than it had, the weights of those further out are added
    to the outermost. Either way a stack of equal slices gives the same sums as before (but in a convolution that
    standardises its weights, as the stem of TransUNet does). Contrasts (``data.contrasts``) are known by name: one that
    the source lacks begins with weights of 0; of a source without names each gets an equal share.

    Args:
        weights: of the source.
        source: its description.
        path: its file, for messages.
        own: the state dict of the target as it is; it is not changed.
        target: its description.
        root: the target's run, for messages.

    Raises:
        RunError: a network cannot be built.
    """
    theirs = axes_of(source, path)
    fit = _Fit(source, target, theirs, theirs if _is_same_network(source, target) else axes_of(target, root))
    result: dict[str, Tensor] = {}
    left: dict[str, str] = {}
    by_class, by_channel, taken = [], [], 0.0
    for name, value in own.items():
        reason = fit.objection(name, weights.get(name))
        if reason is not None:
            left[name], result[name] = reason, value
            continue
        result[name] = fit.fitted(name, weights[name], value)
        taken += fit.share(name) * value.numel()
        if fit.matches_classes(name):
            by_class.append(name)
        if fit.matches_channels(name):
            by_channel.append(name)
    known = tuple(target.scheme.names[there] for _, there in fit.pairs)
    used = {here for here, _ in fit.pairs}
    return Transfer(
        result,
        taken / max(1, sum(value.numel() for value in own.values())),
        tuple(by_class),
        tuple(by_channel),
        left,
        known,
        tuple(name for name in target.scheme.names if name not in known),
        tuple(name for index, name in enumerate(source.scheme.names) if index not in used),
    )


class _Fit:
    """How the weights of one network are made those of another."""

    def __init__(
        self, source: Description, target: Description, theirs: Mapping[str, Axes], mine: Mapping[str, Axes]
    ) -> None:
        self.source, self.target = source, target
        self.theirs, self.mine = theirs, mine
        self.pairs = _same_names(source.scheme, target.scheme)
        count = source.scheme.num_classes
        self.same_classes = count == target.scheme.num_classes and self.pairs == [(i, i) for i in range(count)]
        self.channels = _channel_shares(source, target)
        self.same_channels = self.channels.shape[0] == self.channels.shape[1] and bool(
            (self.channels == torch.eye(len(self.channels))).all()
        )

    def objection(self, name: str, value: object) -> str | None:
        """Say why a weight cannot be taken, or None."""
        if not isinstance(value, Tensor) or name not in self.theirs or name not in self.mine:
            return "there is none of this name"
        here, there = self.theirs[name], self.mine[name]
        if len(here) != len(there) or value.shape != tuple(axis.size for axis in here):
            return f"it has another size ({_sizes(value.shape)})"
        for one, other in zip(here, there, strict=True):
            growth = (one.by_class, one.by_channel) == (other.by_class, other.by_channel)
            if one.size == other.size and growth and self._is_plain(one.by_class, one.by_channel):
                continue
            if not growth or not (one.by_class or one.by_channel):
                return f"it has another size ({_sizes(value.shape)})"
            of_classes = one.is_of_classes(self.source.scheme.num_classes)
            if not of_classes and not one.is_of_channels(self.source.in_channels):
                return "how its size follows from classes and input channels is not known"
        return None

    def matches_classes(self, name: str) -> bool:
        """Whether rows are matched by the names of classes."""
        return not self.same_classes and any(axis.by_class for axis in self.mine[name])

    def matches_channels(self, name: str) -> bool:
        """Whether input channels are matched by their slices."""
        return not self.same_channels and any(axis.by_channel for axis in self.mine[name])

    def share(self, name: str) -> float:
        """Return how much of a weight is taken."""
        axes = sum(1 for axis in self.mine[name] if axis.by_class) if self.matches_classes(name) else 0
        return float((len(self.pairs) / self.target.scheme.num_classes) ** axes)

    def fitted(self, name: str, value: Tensor, own: Tensor) -> Tensor:
        """Return the weight as the target needs it."""
        value = value.to(own.device, own.dtype)
        places = [torch.arange(size) for size in own.shape]
        for number, axis in enumerate(self.mine[name]):
            if axis.by_channel and not self.same_channels:
                value = _fit_channels(value, number, self.channels)
            if axis.by_class and not self.same_classes:
                here, there = (_places(indices, axis.by_class) for indices in zip(*self.pairs, strict=True))
                value, places[number] = value.index_select(number, here.to(value.device)), there
        if not self.matches_classes(name):
            return value.clone()
        result = own.clone()
        result[tuple(place.view([-1 if a == n else 1 for a in range(own.ndim)]) for n, place in enumerate(places))] = (
            value
        )
        return result

    def _is_plain(self, by_class: float, by_channel: float) -> bool:
        return (self.same_classes or not by_class) and (self.same_channels or not by_channel)


def _is_same_network(one: Description, other: Description) -> bool:
    """Whether both are built alike, so that what is known of one holds for the other."""
    first, second = (
        (d.model, options_without_start(d), d.in_channels, d.scheme.num_classes, d.plugin) for d in (one, other)
    )
    return first == second


def _same_names(source: LabelScheme, target: LabelScheme) -> list[tuple[int, int]]:
    """Pairs of channels of the same structure, the background first; of two that mean one the first."""
    places: dict[int, int] = {}
    for here, there in enumerate(map_scheme(source, target).table):
        if there:
            places.setdefault(there, here)
    return [(0, 0), *((here, there) for there, here in sorted(places.items()))]


def _places(indices: Sequence[int], repeat: int) -> Tensor:
    """Places on an axis that has ``repeat`` for each class."""
    return (torch.tensor(indices)[:, None] * repeat + torch.arange(repeat)).flatten()


def _channel_shares(source: Description, target: Description) -> Tensor:
    """Return which share of the weights of each channel a channel of the target gets, ``(target, source)``."""
    slices = _slice_shares(1 + 2 * source.context_slices, 1 + 2 * target.context_slices)
    contrasts = _contrast_shares(source.contrasts, target.contrasts)
    return torch.einsum("ab,cd->acbd", contrasts, slices).flatten(2).flatten(0, 1)


def _slice_shares(before: int, after: int) -> Tensor:
    """The same for the slices of one contrast, each beside the middle one."""
    places = (torch.arange(before) - before // 2).clamp(-(after // 2), after // 2) + after // 2
    return torch.nn.functional.one_hot(places, after).T.float()


def _contrast_shares(before: Sequence[str], after: Sequence[str]) -> Tensor:
    """The same for contrasts, by name; where none is known by name, all get an equal share of all."""
    here, there = ([name.lower() for name in names] or [""] for names in (before, after))
    if not set(here) & set(there):
        return torch.full((len(there), len(here)), 1 / len(there))
    return torch.tensor([[float(one == other) for other in here] for one in there])


def _fit_channels(value: Tensor, axis: int, shares: Tensor) -> Tensor:
    """Change the number of input channels; shares are ``(after, before)``."""
    before = shares.shape[1]
    parts = value.unflatten(axis, (before, value.shape[axis] // before))
    mixed: Tensor = torch.tensordot(shares.to(value.device, value.dtype), parts, dims=([1], [axis]))
    return mixed.movedim(0, axis).flatten(axis, axis + 1)


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "one number"
