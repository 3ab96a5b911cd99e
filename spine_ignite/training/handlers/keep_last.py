"""``last.pt``: the checkpoint to resume from."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events

from spine_ignite.errors import RunError
from spine_ignite.runs.saving import save_checkpoint
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.finite import Soundness
from spine_ignite.training.setup import Part, Run


class KeepLast:
    """Writes ``last.pt``, and keeps the one before as ``previous.pt``.

    The first is written before the first step. So there is always one while a run is trained: ``best.pt`` alone means
    that somebody has deleted something.

    Args:
        run: the run.
        parts: what is saved, by name; besides there are the description, the configuration that the run was trained
            with so far, and what plugins keep.
        soundness: refuses what is not finite.
    """

    def __init__(self, run: Run, parts: Mapping[str, Part], soundness: Soundness) -> None:
        self.run = run
        self.parts = dict(parts)
        self.soundness = soundness
        self._saved_at = -1

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(Events.STARTED, self.begin)
        trainer.add_event_handler(TrainingEvents.RECORDED, self.forget)
        trainer.add_event_handler(TrainingEvents.SAVE_DUE, self)

    def begin(self, engine: Engine) -> None:
        """Save a run that has not taken a step."""
        if engine.state.iteration == 0:
            engine.fire_event(TrainingEvents.SAVE_DUE)

    def forget(self) -> None:
        """After a validation a checkpoint of the same step holds more than before."""
        self._saved_at = -1

    def __call__(self, engine: Engine) -> None:
        """Write the checkpoint, unless it is there already; of several processes the first does.

        Raises:
            RunError: something in it is not finite, a plugin keeps what cannot be read back, or it cannot be written.
        """
        if self._saved_at == engine.state.iteration or not self.run.processes.first:
            return
        self.soundness.require()
        content = {name: self.parts[name].state_dict() for name in sorted(self.parts)}
        content["kept"] = {name: _readable(name, part) for name, part in self.run.kept.items()}
        content["config"] = self.run.config.model_dump(mode="json")
        content["description"] = self.run.description.state_dict()
        engine.fire_event(TrainingEvents.SAVING)
        save_checkpoint(self.run.directory.last, content, self.run.directory.previous)
        self._saved_at = engine.state.iteration
        engine.fire_event(TrainingEvents.SAVED)


def _readable(name: str, part: Part) -> Any:
    """Return the state of what a plugin keeps, once it is known that it can be read without running code."""
    state = part.state_dict()
    buffer = io.BytesIO()
    try:
        torch.save(state, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(
            f"'{name}', which a plugin keeps in the checkpoint, holds more than tensors and plain data: {reason}"
        ) from error
    return state
