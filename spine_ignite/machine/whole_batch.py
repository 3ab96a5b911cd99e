"""A batch whose rows lie in several processes: what a loss, or a normalisation, is given of the rows of all.

Within :func:`shared_rows` a loss is computed from sums of each row, which all processes get (:func:`rows_of_all`), so
that it is in each of them the loss of the whole batch. Each then differentiates it by its own rows, and the gradients
of all processes together, added up, are those of the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from spine_ignite.machine.processes import Processes

_shared: tuple[Processes, int] | None = None


@contextmanager
def shared_rows(processes: Processes, of: int) -> Iterator[None]:
    """Let what is computed in the block count the rows of all processes; of one process alone it changes nothing.

    Args:
        processes: that share a batch; each does the same in the block, as often.
        of: rows of the batch.
    """
    global _shared
    before, _shared = _shared, None if processes.alone else (processes, of)
    try:
        yield
    finally:
        _shared = before


def shared_by() -> tuple[Processes, int] | None:
    """Return which processes share the batch, and how many rows it has; None where all rows are here."""
    return _shared


def are_shared() -> bool:
    """Whether rows of the batch are in other processes too."""
    return _shared is not None


def rows_of_all(*values: Tensor) -> tuple[Tensor, ...]:
    """Return values of the rows here as values of all rows of the batch, in its order.

    Differentiated, they pass the gradient of the rows here on: what is computed from them must be the same in all
    processes.

    Args:
        values: ``(b, …)``, of one floating type; what is no number of that type becomes one.

    Returns:
        ``(B, …)``; the values themselves where no rows are elsewhere.
    """
    if _shared is None:
        return values
    dtype = next(value.dtype for value in values if value.is_floating_point())
    flat = [(value.flatten(1) if value.dim() > 1 else value[:, None]).to(dtype) for value in values]
    everything: Tensor = _RowsOfAll.apply(torch.cat(flat, 1), *_shared)  # type: ignore[no-untyped-call]
    parts = everything.split([part.shape[1] for part in flat], 1)
    return tuple(part.reshape(len(part), *value.shape[1:]) for part, value in zip(parts, values, strict=True))


class _RowsOfAll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, processes: Processes, of: int) -> Tensor:
        ctx.own = slice(processes.number, of, processes.count)
        everything = value.new_zeros((of, *value.shape[1:]))
        everything[ctx.own] = value
        return processes.add_up(everything)  # to zeros: nothing is rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0][ctx.own], None, None
