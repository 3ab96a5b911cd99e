"""What tests of training share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from ignite.engine import Engine, Events

from spine_ignite.hookspecs import hookimpl
from spine_ignite.registry import load_registry

Attach = Callable[[Engine, Engine, Any], None]
Plugged = Callable[[Attach], AbstractContextManager[None]]
Stopped = Callable[[int], AbstractContextManager[None]]


@contextmanager
def _plugged(attach: Attach) -> Iterator[None]:
    class Plugin:
        @hookimpl
        def attach_handlers(self, trainer: Engine, evaluator: Engine, run: Any) -> None:
            attach(trainer, evaluator, run)

    manager, plugin = load_registry().plugin_manager, Plugin()
    manager.register(plugin, name=f"acme:{id(plugin)}")
    try:
        yield
    finally:
        manager.unregister(plugin)


@pytest.fixture
def plugged() -> Plugged:
    """``with plugged(attach):`` lets the plugin ``acme`` attach handlers to whatever is trained inside."""
    return _plugged


@pytest.fixture
def stopped() -> Stopped:
    """``with stopped(step):`` sends this process a SIGTERM in a step of whatever is trained inside."""

    def stop(step: int) -> AbstractContextManager[None]:
        def attach(trainer: Engine, _evaluator: Engine, _run: Any) -> None:
            event = Events.ITERATION_COMPLETED(once=step)
            trainer.add_event_handler(event, lambda: os.kill(os.getpid(), signal.SIGTERM))

        return _plugged(attach)

    return stop
