"""Handlers that a caller in Python brings along, beside those of plugins.

Each is either something with ``attach(trainer)``, as most of Ignite's handlers have, or a function that takes
``(trainer, evaluator, run)`` and attaches what it likes, in the way that a plugin's ``attach_handlers`` does. What has
``state_dict`` and ``load_state_dict`` besides ``attach`` is saved with the run's checkpoints and restored by a resume
that is given the like in the same place of the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spine_ignite.errors import RunError, SpineIgniteError, UsageError
from spine_ignite.training.setup import Run


def attach_given(handlers: Any, run: Run) -> None:
    """Attach them in their order, or the only one; nothing of a former run has been deleted yet.

    Raises:
        UsageError: one is neither of the two kinds.
        RunError: one raises; it is named.
    """
    for number, handler in enumerate(handlers if isinstance(handlers, Sequence) else [handlers]):
        name = f"handlers[{number}] ({_name(handler)})"
        has_attach = callable(getattr(handler, "attach", None)) and not isinstance(handler, type)
        if isinstance(handler, type) or not (has_attach or callable(handler)):
            raise UsageError(
                f"{name} cannot be attached: give an object with attach(trainer), or a function of "
                "(trainer, evaluator, run) that attaches it"
            )
        try:
            if has_attach:
                handler.attach(run.trainer)
                if all(callable(getattr(handler, method, None)) for method in ("state_dict", "load_state_dict")):
                    run.keep(name, handler)
            else:
                handler(run.trainer, run.evaluator, run)
        except SpineIgniteError:
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise RunError(
                f"{name} failed when it was attached ({reason}); one whose attach needs more than the trainer is "
                "attached by a function of (trainer, evaluator, run)"
            ) from error


def _name(handler: Any) -> str:
    return str(getattr(handler, "__qualname__", type(handler).__qualname__))
