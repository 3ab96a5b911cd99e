"""Which tensors of two forms of one network belong together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Own = dict[str, Tensor]  # what a module itself holds
Turns = dict[Any, list[Own]]  # by scope and shape, in the order of the calls


@dataclass(frozen=True)
class Match:
    """A tensor of theirs and its counterpart, the whole of ours or one of three parts of it."""

    theirs: Tensor
    ours: Tensor
    part: int | None = None

    def of(self, whole: Tensor) -> Tensor:
        """Return the counterpart's part of a tensor like ours, in the shape of theirs."""
        return (whole if self.part is None else whole.chunk(3)[self.part]).reshape(self.theirs.shape)

    def copy(self) -> None:
        """Copy theirs to ours; running statistics are changed a little, so that they are not quite the batch's."""
        if not isinstance(self.theirs, nn.Parameter):
            self.theirs.mul_(torch.empty_like(self.theirs).uniform_(0.9, 1.1))
        (self.ours if self.part is None else self.ours.chunk(3)[self.part]).copy_(self.theirs.reshape(self._shape))

    @property
    def _shape(self) -> torch.Size:
        return self.ours.shape if self.part is None else self.ours.chunk(3)[self.part].shape


def matches(
    networks: tuple[nn.Module, nn.Module],
    calls: tuple[Callable[[], object], Callable[[], object]],
    scopes: Sequence[tuple[str, str]],
    named: Sequence[tuple[str, str, int | None]],
) -> list[Match]:
    """Match the tensors of two networks, theirs and ours.

    Modules belong together that hold tensors of the same shapes and are called in the same turn.

    Args:
        networks: theirs and ours.
        calls: calls each on the same image, in training.
        scopes: beginnings of names within which turns are counted apart; the first that fits holds.
        named: what belongs together by name, with the number of theirs where ours is the concatenation of three.
    """
    found = []
    for their_name, our_name, part in named:
        theirs, ours = (
            own_tensors(find(net, name)) for net, name in zip(networks, (their_name, our_name), strict=True)
        )
        found += [Match(a, b, part) for a, b in zip(theirs.values(), ours.values(), strict=True)]
    taken = {id(tensor) for match in found for tensor in (match.theirs, match.ours)}
    their_turns, our_turns = (
        turns(net, call, [scope[side] for scope in scopes], taken)
        for side, (net, call) in enumerate(zip(networks, calls, strict=True))
    )
    for key in {*their_turns, *our_turns}:
        if len(their_turns.get(key, ())) != len(our_turns.get(key, ())):
            sys.exit(f"modules of these shapes have no counterpart: {key}")
        for theirs, ours in zip(their_turns[key], our_turns[key], strict=True):
            found += [Match(theirs[name], ours[name]) for name in theirs]
    matched = {id(match.ours) for match in found}
    left = [name for name, parameter in networks[1].named_parameters() if id(parameter) not in matched]
    if left:
        sys.exit(f"nothing was copied to {', '.join(left)}")
    return [match for match in found if match.theirs.is_floating_point()]


def turns(net: nn.Module, call: Callable[[], object], scopes: Sequence[str], taken: set[int]) -> Turns:
    """Return what a network's modules hold, in the order of their first calls, but for the tensors ``taken``."""
    with torch.no_grad(), recorded(net) as seen:
        call()
    found: Turns = {}
    for name, module in seen.items():
        own = {key: value for key, value in own_tensors(module).items() if id(value) not in taken}
        if own:
            scope = next((number for number, scope in enumerate(scopes) if name.startswith(scope)), None)
            # A linear layer on every pixel and a 1x1 convolution are the same.
            shapes = tuple((key, tuple(n for n in value.shape if n != 1)) for key, value in own.items())
            found.setdefault((scope, shapes), []).append(own)
    return found


@contextmanager
def recorded(net: nn.Module) -> Iterator[dict[str, nn.Module]]:
    """Collect the modules of a network in the order in which they are first called."""
    seen: dict[str, nn.Module] = {}

    def watch(name: str, module: nn.Module) -> Any:
        def hook(*_: object) -> None:
            seen.setdefault(name, module)

        return module.register_forward_pre_hook(hook)

    handles = [watch(name, module) for name, module in net.named_modules()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def own_tensors(module: Any) -> Own:
    """Return the parameters and buffers that a module itself holds, in order of their names; of a tensor, itself."""
    if isinstance(module, Tensor):
        return {"": module}
    own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    return dict(sorted(own.items()))


def find(net: nn.Module, name: str) -> Any:
    """Return a module or tensor by its dotted name."""
    found: Any = net
    for part in name.split("."):
        found = getattr(found, part)
    return found
