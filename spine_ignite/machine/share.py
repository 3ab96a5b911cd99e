"""Which rows of a batch a process has, where several share one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """Every n-th row, beginning with one of its own.

    Args:
        first: the process's number, which is that of its first row.
        processes: how many share a batch.
    """

    first: int = 0
    processes: int = 1

    def rows(self, of: int) -> range:
        """Return the rows of a batch of ``of`` rows that are this process's; none if there are fewer than processes."""
        return range(self.first, of, self.processes)

    def read(self, of: int) -> range:
        """Return the rows to read: its own, or one of another's, so that each process has something to compute with."""
        spare = self.first % of
        return self.rows(of) or range(spare, spare + 1)


WHOLE = Share()
