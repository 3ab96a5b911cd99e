"""How all processes of a training learn that one has failed, whatever they are waiting for at that moment.

A thread of each process tells the store through which they have found each other that it lives, reads the same of the
others, and looks whether one has told of its failure. A process that waits for a lost one is in the midst of a call
that does not return: if it has not come to its end by itself some seconds later, its thread ends it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any

from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from spine_ignite.errors import RunError, SpineIgniteError
from spine_ignite.machine.launched import Place
from spine_ignite.names import printable

_COMING = 300.0  # seconds in which all must have been started
_LOOK_EVERY = 1.0  # seconds
_SILENCE = 25.0  # seconds without a sign of life, after which a process counts as lost
_ANSWER = timedelta(seconds=20)  # of the store
_GRACE = 5.0  # seconds for a process to come to its end by itself, and for the others to read why

_joins = count()  # of this process: each training has keys of its own in a store that outlives it
_served: list[Any] = []  # by process 0 to the end of its life: another one may ask before it trains again


def join_store(place: Place) -> tuple[Any, Watch]:
    """Find the other processes; return the store that they share and a running watch over them.

    Raises:
        RunError: they do not come.
    """
    serves = place.number == 0 and not place.served
    try:
        store = TCPStore(
            place.host, place.port, None, serves, timedelta(seconds=_COMING), wait_for_workers=False, multi_tenant=True
        )
        watched = TCPStore(place.host, place.port, None, False, _ANSWER, wait_for_workers=False)
    except RuntimeError as error:
        raise RunError(
            f"process {place.number} of {place.count} does not reach process 0 at {place.host}:{place.port} "
            f"({' '.join(str(error).split())[:150]}); see that all are started, and that this port is free and open"
        ) from error
    if serves and not _served:
        _served.append(store)
    prefix = f"spine-ignite/{place.attempt}/{next(_joins)}"
    watch = Watch(PrefixStore(prefix, watched), place)
    watch.gather()
    watch.start()
    return PrefixStore(prefix, store), watch


class Watch:
    """Watches over the processes of a training.

    One thread asks the store, which does not answer if the process that keeps it was stopped; another one waits for the
    first, and ends the process where that is all that can be done.

    Args:
        store: that all share; used by nothing else.
        place: this process.

    Attributes:
        reason: why training is over, once that is known of another process.
        advice: what to do, for the sentence about it.
    """

    def __init__(self, store: Any, place: Place) -> None:
        self.store, self.place = store, place
        self.reason: str | None = None
        self.advice = ""
        self._known, self._over = threading.Event(), threading.Event()
        self._beats = dict.fromkeys((n for n in range(place.count) if n != place.number), -1)
        self._silent = dict.fromkeys(self._beats, 0.0)
        self._asking = threading.Lock()
        self._asked = 0  # times that the store was asked and has answered

    def start(self) -> None:
        """Begin to watch."""
        for task in (self._ask, self._wait):
            threading.Thread(target=task, name="watch", daemon=True).start()

    def gather(self) -> None:
        """Wait until all have come.

        Raises:
            RunError: they do not.
        """
        self.store.set(f"host/{self.place.number}", socket.gethostname())
        here, end = self.store.add("here", 1), time.monotonic() + _COMING
        while here < self.place.count:
            if time.monotonic() > end:
                raise RunError(
                    f"only {here} of {self.place.count} processes have come within {_COMING:.0f} s; start them all, "
                    "or fewer"
                )
            time.sleep(0.05)
            here = self.store.add("here", 0)

    def explained(self, error: BaseException, *, of_collective: bool) -> BaseException:
        """Return what to raise for an error in this process, and tell the others if it is its own.

        Args:
            error: what was raised.
            of_collective: whether it only says that another is gone.
        """
        if of_collective:
            self._known.wait(2 * _SILENCE)
            return RunError(self.reason or f"{error}; {self.advice or 'start them again'}")
        if not self._known.is_set():
            text = str(error) if isinstance(error, SpineIgniteError) else f"{type(error).__name__}: {error}"
            self._try(lambda: self._tell(printable(" ".join(text.split()))[:2000]))
        return error

    def leave(self) -> None:
        """Stop watching; the process that holds the store waits until the others have left it."""
        self._over.set()
        self._try(self._leave)

    def _leave(self) -> None:
        self.store.add(f"left/{self.place.number}", 1)
        left, end = self.store.add("left", 1), time.monotonic() + _GRACE
        while self.place.number == 0 and left < self.place.count and time.monotonic() < end:
            time.sleep(0.02)
            left = self.store.add("left", 0)

    def _try(self, action: Callable[[], None]) -> None:
        """Do something with the store, unless it does not answer any more."""
        if self._asking.acquire(timeout=_GRACE):
            try:
                with suppress(RuntimeError, ValueError):
                    action()
            finally:
                self._asking.release()

    def _ask(self) -> None:
        """Look at the others until this process has come to its end, or until one has failed."""
        last = time.monotonic()
        while not self._over.wait(_LOOK_EVERY) and not self._known.is_set():
            now = time.monotonic()
            try:
                with self._asking:
                    reason = self._look(min(now - last, 4 * _LOOK_EVERY))  # more if this one was stopped, with all
            except (RuntimeError, ValueError):
                reason = self._without_store()
            last, self._asked = now, self._asked + 1
            if reason is not None:
                self._conclude(reason)

    def _wait(self) -> None:
        """Wait for an answer of the store, or for the end of this process once it is known that training is over."""
        asked, silent = -1, 0.0
        while not self._known.wait(_LOOK_EVERY) and not self._over.is_set():
            asked, silent = self._asked, silent + _LOOK_EVERY if asked == self._asked else 0.0
            if silent > _SILENCE:
                self._conclude(self._without_store())
        if self._known.is_set() and not self._over.wait(_GRACE):
            self._end()

    def _conclude(self, reason: str) -> None:
        if not self._over.is_set() and not self._known.is_set():
            self.reason = reason + (f"; {self.advice}" if self.advice else "")
            self._known.set()

    def _without_store(self) -> str:
        keeper = "the launcher" if self.place.served else f"process 0 of {self.place.count}"
        return f"{keeper}, which keeps the others together, is gone, or has not answered for {_SILENCE:.0f} s"

    def _look(self, passed: float) -> str | None:
        """Give a sign of life, and return why training is over, if it is."""
        self.store.add(f"beat/{self.place.number}", 1)
        if self.store.add("failures", 0):
            return str(self.store.get("failure").decode())
        for other, before in self._beats.items():
            beat = self.store.add(f"beat/{other}", 0)
            self._silent[other] = 0.0 if beat != before else self._silent[other] + passed
            self._beats[other] = beat
            if self._silent[other] > _SILENCE and not self.store.add(f"left/{other}", 0):
                return (
                    f"{self._called(other)} has given no sign of life for {_SILENCE:.0f} s: it was killed or stopped, "
                    "or its machine is gone"
                )
        return None

    def _tell(self, reason: str) -> None:
        """Tell the others why this one fails, unless another was faster."""
        if self.store.add("failures", 1) == 1:
            self.store.set("failure", f"{self._called(self.place.number)} failed: {reason}")

    def _called(self, number: int) -> str:
        host = self.store.get(f"host/{number}").decode()
        return f"process {number} of {self.place.count} ({host})"

    def _end(self) -> None:
        """End this process, which is in the midst of something that does not return."""
        sys.stderr.write(f"Error: {printable(self.reason or '')}\n")
        sys.stderr.flush()
        os._exit(1)
