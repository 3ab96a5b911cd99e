"""Work on many things of their own, such as volumes, that processes share: each takes the next when it is free."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from typing import Any, TypeVar

from spine_ignite.machine.processes import ALONE, Processes, collective

Item = TypeVar("Item")
Result = TypeVar("Result")

_numbers = count()  # of what the first process has shared, so that each has keys of its own in the store


def share_out(
    items: Sequence[Item],
    do: Callable[[Item], Result],
    processes: Processes = ALONE,
    *,
    size: Callable[[Item], float] = lambda _item: 0,
    progress: Callable[[Any], Any] | None = None,
) -> list[Result]:
    """Do something with each item once, in one of the processes, and return what came of each, in their order, in all.

    Several begin with the largest, so that in the end none is left with a large one while the others wait.

    Args:
        items: the same in all processes, which all call this.
        do: what is done with an item; what it returns must be possible to pickle.
        processes: that share the items.
        size: of an item, as far as it tells how long it takes; asked in the first process.
        progress: wraps the items, to show how far it is; the first process shows what all have done.

    Raises:
        RunError: a process is gone.
    """
    if processes.alone:
        return [do(item) for item in (progress(items) if progress is not None else items)]
    name, order = processes.by_first(lambda: (f"work/{next(_numbers)}", _largest_first(items, size)))
    shown = iter(progress(items)) if progress is not None and processes.first else iter(())
    next(shown, None)  # a bar moves on when it is asked for what follows
    moved, results = 0, {}
    for place in _places(processes, name, len(order)):
        results[order[place]] = do(items[order[place]])
        done = _add(processes, f"{name}/done")
        for _ in islice(shown, done - moved):
            pass
        moved = done
    everything = {index: result for part in processes.of_all(results) for index, result in part.items()}
    for _ in shown:
        pass
    return [everything[index] for index in range(len(items))]


def _largest_first(items: Sequence[Item], size: Callable[[Item], float]) -> list[int]:
    sizes = [size(item) for item in items]
    return sorted(range(len(items)), key=lambda index: -sizes[index])


def _places(processes: Processes, name: str, total: int) -> Iterator[int]:
    """Yield the places in the order that no other process has taken."""
    while (place := _add(processes, f"{name}/taken") - 1) < total:
        yield place


def _add(processes: Processes, key: str) -> int:
    with collective():
        return int(processes.store.add(key, 1))
