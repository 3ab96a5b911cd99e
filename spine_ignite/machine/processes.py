"""The processes that do one thing, such as a training: which of them this is, and what they tell each other.

A launcher starts them: ``--nproc``, ``torchrun`` or ``srun``. Ignite's ``idist`` sees the group that is made
here, so that its metrics and handlers know of it too. One process alone has no group, and pays nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from spine_ignite.errors import RunError, SpineIgniteError
from spine_ignite.machine.launch import be_tied
from spine_ignite.machine.launched import Place, place_of_launch
from spine_ignite.machine.share import Share
from spine_ignite.machine.watch import Watch, join_store

# How long a process waits for another that lives, and preprocesses or writes, say: watches tell those that do not.
_PATIENCE = timedelta(days=7)

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among those that it works with.

    Args:
        number: its own, from 0.
        count: of all.
        local: its number on its machine.
        local_count: of all on its machine.
        group: what sums of large tensors go through; None: the group of all that torch knows.
        store: what all have in common, under keys; None for one alone.
    """

    number: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1
    group: Any = None
    store: Any = None

    @property
    def alone(self) -> bool:
        """Whether there are no others."""
        return self.count == 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.number == 0

    @property
    def share(self) -> Share:
        """The rows of each batch that are this process's."""
        return Share(self.number, self.count)

    def on(self, device: torch.device) -> Processes:
        """Return the same for sums of tensors on a device, which becomes this process's own; all processes call it.

        Raises:
            RunError: the devices are of several kinds, or two processes have the same GPU.
        """
        self.claim(device)
        if self.alone or device.type != "cuda":
            return self
        return replace(self, group=dist.new_group(backend="nccl", timeout=_PATIENCE))

    def claim(self, device: torch.device) -> None:
        """See that a device is this process's own; all processes call it.

        Raises:
            RunError: the devices are of several kinds, or two processes have the same GPU.
        """
        if self.alone:
            return
        require_own_devices(self.of_all((socket.gethostname(), device.type, _uuid_of(device))))
        if device.type == "cuda":
            torch.cuda.set_device(device)

    def add_up(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all processes, in place, and return it."""
        if not self.alone:
            with collective():
                dist.all_reduce(tensor, group=self.group)
        return tensor

    def largest(self, values: Sequence[float]) -> list[float]:
        """Return the largest of each of a few numbers over all processes; no device is waited for."""
        if self.alone:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64)
        with collective():
            dist.all_reduce(numbers, op=dist.ReduceOp.MAX)
        return [float(number) for number in numbers]

    def of_first(self, value: T) -> T:
        """Return what the first process gives here; the others wait for it."""
        if self.alone:
            return value
        given = [value]
        with collective():
            dist.broadcast_object_list(given, src=0)
        return given[0]

    def by_first(self, make: Callable[[], T]) -> T:
        """Return what the first process makes; the others wait for it."""
        return self.of_first(make() if self.first else None)  # type: ignore[return-value]

    def of_all(self, value: T) -> list[T]:
        """Return what all processes give here, in their order."""
        given = [value] * self.count
        if not self.alone:
            with collective():
                dist.all_gather_object(given, value)
        return given

    def require_same(self, text: str, what: str) -> None:
        """See that all were given the same text.

        Raises:
            RunError: this process was given another one than the first.
        """
        if self.of_first(text) != text:
            raise RunError(
                f"process {self.number} of {self.count} was given another {what} than process 0; start all with the "
                "same files and options"
            )

    def copy_first(self, tensors: Sequence[Tensor]) -> None:
        """Give tensors the values that they have in the first process."""
        for tensor in tensors if not self.alone else ():
            with collective():
                dist.broadcast(tensor, src=0, group=self.group)

    def wait(self) -> None:
        """Wait until all are here."""
        self.largest([0])

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Run the block in the first process, and in the others once it has come to its end there."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()


def require_own_devices(devices: Sequence[tuple[str, str, str]]) -> None:
    """See that processes can work together on their devices, which NCCL would wait for without a word.

    Args:
        devices: of each process the machine, the kind of device, and the UUID of the GPU; empty if there is none.

    Raises:
        RunError: the devices are of several kinds, or two processes have the same GPU.
    """
    called = [f"process {number} ({host})" for number, (host, _, _) in enumerate(devices)]
    first: dict[str, int] = {}
    for number, (_, kind, uuid) in enumerate(devices):
        if kind != devices[0][1]:
            raise RunError(
                f"{called[0]} works on {devices[0][1]} and {called[number]} on {kind}; see that all find a GPU, or "
                "set device to cpu"
            )
        if uuid and uuid in first:
            raise RunError(
                f"{called[first[uuid]]} and {called[number]} have the same GPU; start one process for each GPU"
            )
        first[uuid] = number


def _uuid_of(device: torch.device) -> str:
    return str(getattr(torch.cuda.get_device_properties(device), "uuid", "")) if device.type == "cuda" else ""


ALONE = Processes()
_current = ALONE
_watch: Watch | None = None


def current() -> Processes:
    """Return the processes that this one works with."""
    return _current


def advise(text: str) -> None:
    """Let what is said of a failed process end with what to do."""
    if _watch is not None:
        _watch.advice = text


@contextmanager
def several_processes() -> Iterator[Processes]:
    """Join the others that the launcher has started, for the block; without a launcher there are none.

    If the block raises in one process it ends in all, within a minute, with the reason; so it does if one is killed or
    stopped, or its machine is gone.

    Raises:
        RunError: the others do not come, or one of them failed.
    """
    global _current, _watch
    place = place_of_launch()
    if place is None or place.count == 1 or _current is not ALONE:
        yield _current
        return
    if dist.is_initialized():
        raise RunError("torch.distributed is initialised already; leave that to spine-ignite, which does it itself")
    be_tied()
    store, watch = join_store(place)
    try:
        _current, _watch = _join(place, store), watch
        yield _current
        _current.wait()
    except BaseException as error:
        told = watch.explained(error, of_collective=_is_of_collective(error))
        if told is error:
            raise
        raise told from error
    finally:
        watch.leave()
        _current, _watch = ALONE, None
        import ignite.distributed as idist

        idist.finalize()


def _join(place: Place, store: Any) -> Processes:
    import ignite.distributed as idist

    os.environ["LOCAL_RANK"] = str(place.local)
    if "SLURM_JOB_ID" in os.environ:  # where Ignite looks then, also if another launcher was used
        os.environ["SLURM_LOCALID"] = str(place.local)
    dist.init_process_group("gloo", store=store, rank=place.number, world_size=place.count, timeout=_PATIENCE)
    idist.sync()
    return Processes(place.number, place.count, place.local, place.local_count, store=store)


class _LostError(RunError):
    """What processes tell each other has come to its end."""


@contextmanager
def collective() -> Iterator[None]:
    """Mark errors of what processes do together."""
    try:
        yield
    except RuntimeError as error:
        raise _LostError(f"the other processes are gone ({' '.join(str(error).split())[:200]})") from error


def _is_of_collective(error: BaseException) -> bool:
    if isinstance(error, SpineIgniteError):
        return isinstance(error, _LostError)
    signs = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")
    return isinstance(error, RuntimeError) and (
        isinstance(error, dist.DistError) or any(sign in str(error) for sign in signs)
    )
