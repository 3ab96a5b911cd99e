"""Losses and weights that are not finite stop a run."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from spine_ignite.training.events import TrainingEvents, ends_epoch
from spine_ignite.training.finite import Soundness

# How often the losses of a GPU are looked at: each look waits for the GPU.
_CHECK_EVERY = {"cpu": 1}


class FiniteGuard:
    """Ends a run in an error, after ``FAILED``, at a loss that is not finite; at the end of an epoch it looks at all.

    The loss alone tells too little: gradients can overflow where it does not, and then the weights are lost in the last
    step of an epoch without a further loss to show it.

    Args:
        soundness: knows what is finite.
    """

    def __init__(self, soundness: Soundness) -> None:
        self.soundness = soundness
        self.every = _CHECK_EVERY.get(soundness.run.device.type, 25)
        self._sum: Tensor | None = None  # of the losses since the last look: as finite as they are

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self)
        trainer.add_event_handler(TrainingEvents.STEP_SETTLED, self.look_at_all)

    def __call__(self, engine: Engine) -> None:
        """Take a step's loss.

        Raises:
            RunError: one since the last look is not finite.
        """
        loss = engine.state.output["loss"]
        self._sum = loss if self._sum is None else self._sum + loss
        if engine.state.iteration % self.every == 0:
            self._look(engine)

    def look_at_all(self, engine: Engine) -> None:
        """Look at losses, weights and all else after the last step of an epoch.

        Raises:
            RunError: something is not finite.
        """
        if ends_epoch(engine):
            self._look(engine)
            self.soundness.require()

    def _look(self, engine: Engine) -> None:
        if self._sum is not None and not torch.isfinite(self._sum):
            engine.fire_event(TrainingEvents.FAILED)
            raise self.soundness.error()
        self._sum = None
