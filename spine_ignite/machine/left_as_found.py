"""What belongs to the whole process is left as it was found, whatever happens in between.

Training sets the number of threads, cuDNN's timing of algorithms and the seed of torch's generator; Ignite's engines
share loggers by name; torch's loaders catch ``SIGCHLD`` and decide how processes start. A command ends with its
process. A notebook goes on.

One thing stays: on Linux the C library is told to keep freed memory (:mod:`.allocator`), which cannot be asked for
before and so not be undone; it changes no result.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import random
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.multiprocessing
from torch.utils.data._utils import signal_handling

Restore = Callable[[], None]


@dataclass(eq=False)
class _Block:
    """A block that is being run: by which thread, and what it restores."""

    thread: int
    undo: list[Restore]


_lock = threading.Lock()
_running: list[_Block] = []  # in the order in which they began


@contextmanager
def left_as_found() -> Iterator[None]:
    """Restore what is the process's after the block, also if it raises.

    Blocks may lie in each other, or run in several threads at the same time: then what the first of them found is
    restored after the last. What other threads change meanwhile is undone too. Signal handlers are restored in the main
    thread, the only one that may set them.
    """
    of_thread = [_grad_mode(), _numpy_errors()]
    with _lock:
        block = _Block(threading.get_ident(), [save() for save in _OF_PROCESS])
        _running.append(block)
    try:
        yield
    finally:
        for restore in of_thread:
            restore()
        with _lock:
            _end(block)


def _end(block: _Block) -> None:
    place = _running.index(block)
    _running.remove(block)
    others = [other for other in _running if other.thread != block.thread]
    if not others:
        for restore in block.undo:
            restore()
    elif others[0] not in _running[:place]:  # it found what this block had changed
        others[0].undo = block.undo


def _grad_mode() -> Restore:
    enabled = torch.is_grad_enabled()

    def restore() -> None:
        torch.set_grad_enabled(enabled)

    return restore


def _numpy_errors() -> Restore:
    former = np.geterr()

    def restore() -> None:
        np.seterr(**former)

    return restore


def _torch_settings() -> Restore:
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = {name: getattr(torch.backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    precision = _matmul_precision()

    def restore() -> None:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        if precision is not None and _matmul_precision() != precision:
            torch.set_float32_matmul_precision(precision)
        for name, value in cudnn.items():
            setattr(torch.backends.cudnn, name, value)

    return restore


def _matmul_precision() -> str | None:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # it was set by torch's newer names, which we never touch
        return None


def _random_states() -> Restore:
    python, array, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    # Asking for the states of GPUs would start CUDA, in a process that may want to fork.
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(array)
        torch.set_rng_state(cpu)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)

    return restore


def _processes() -> Restore:
    sharing = torch.multiprocessing.get_sharing_strategy()
    method = multiprocessing.get_start_method(allow_none=True)

    def restore() -> None:
        torch.multiprocessing.set_sharing_strategy(sharing)
        # A loader that starts its workers settles the method for good, and the user's own choice would be refused.
        if multiprocessing.get_start_method(allow_none=True) != method:
            multiprocessing.set_start_method(method, force=True)

    return restore


def _warnings() -> Restore:
    filters, show = list(warnings.filters), warnings.showwarning

    def restore() -> None:
        if list(warnings.filters) != filters:
            warnings.filters[:] = filters  # type: ignore[index]  # a list, whatever its stub says
            warnings._filters_mutated()  # type: ignore[attr-defined]
        warnings.showwarning = show

    return restore


def _loggers() -> Restore:
    root, disabled = logging.getLogger(), logging.root.manager.disable
    former = {logger: _settings(logger) for logger in (root, *_known_loggers())}

    def restore() -> None:
        logging.disable(disabled)
        for logger in (root, *_known_loggers()):
            # Of loggers that are new, Ignite's were silenced by us; others have what their libraries gave them.
            if logger in former or logger.name.partition(".")[0] == "ignite":
                _set(logger, former.get(logger, (logging.NOTSET, [], [], True, False)))

    return restore


def _known_loggers() -> list[logging.Logger]:
    return [item for item in list(logging.root.manager.loggerDict.values()) if isinstance(item, logging.Logger)]


def _settings(logger: logging.Logger) -> tuple[int, list[Any], list[Any], bool, bool]:
    return logger.level, list(logger.handlers), list(logger.filters), logger.propagate, logger.disabled


def _set(logger: logging.Logger, settings: tuple[int, list[Any], list[Any], bool, bool]) -> None:
    level, handlers, filters, logger.propagate, logger.disabled = settings
    if logger.level != level:
        logger.setLevel(level)
    logger.handlers[:], logger.filters[:] = handlers, filters


def _environment() -> Restore:
    former = dict(os.environ)

    def restore() -> None:
        for name in os.environ.keys() - former.keys():
            del os.environ[name]
        for name, value in former.items():
            if os.environ.get(name) != value:
                os.environ[name] = value

    return restore


def _working_folder() -> Restore:
    try:
        folder = os.getcwd()
    except OSError:  # it was deleted
        return lambda: None

    def restore() -> None:
        with suppress(OSError):
            if os.getcwd() != folder:
                os.chdir(folder)

    return restore


def _signals() -> Restore:
    former = {number: signal.getsignal(number) for number in signal.valid_signals()}

    def restore() -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in former.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
                if number == getattr(signal, "SIGCHLD", None):
                    signal_handling._SIGCHLD_handler_set = False  # so that torch's next loader sets its own again

    return restore


def _garbage_collection() -> Restore:
    enabled = gc.isenabled()
    return lambda: gc.enable() if enabled else gc.disable()


_OF_PROCESS = (
    _torch_settings,
    _random_states,
    _processes,
    _warnings,
    _loggers,
    _environment,
    _working_folder,
    _signals,
    _garbage_collection,
)
