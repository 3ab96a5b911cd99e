"""How epochs come to their end, the last one too, and when a checkpoint is due."""

from __future__ import annotations

from ignite.engine import Engine, Events

from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.setup import Run


class Ending:
    """Completes the epoch that is cut short, and asks for checkpoints.

    An epoch that a budget or whoever calls ``terminate`` cuts short is completed like any other: ``EPOCH_COMPLETED`` is
    fired for it, once, and it is validated and recorded. Only a signal leaves its epoch open, to be gone on with.

    Args:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._completed: tuple[int, int] | None = None  # the last epoch that was, and its last step

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(TrainingEvents.EPOCH_ENDING, self.note)
        trainer.add_event_handler(TrainingEvents.EPOCH_SETTLED, self)
        trainer.add_event_handler(Events.TERMINATE, self.conclude)

    def note(self, engine: Engine) -> None:
        """Remember which epoch has ended."""
        self._completed = (engine.state.epoch, engine.state.iteration)

    def __call__(self, engine: Engine) -> None:
        """Ask for a checkpoint after an epoch, if one is due."""
        epoch = engine.state.epoch
        last = epoch >= self.run.budget.max_epochs or bool(engine.should_terminate)
        if last or epoch % self.run.config.train.checkpoint_every == 0:
            engine.fire_event(TrainingEvents.SAVE_DUE)

    def conclude(self, engine: Engine) -> None:
        """Complete the epoch of a run that was terminated, and ask for its last checkpoint."""
        run, place = self.run, (engine.state.epoch, engine.state.iteration)
        if not run.trainer.stays_open:
            if self._takes_steps(engine) and self._completed != place:
                engine.fire_event(Events.EPOCH_COMPLETED)
            elif self._completed == place and run.validates and not run.is_validated:
                engine.fire_event(TrainingEvents.EPOCH_ENDING)  # the last epoch is validated, and recorded again
        engine.fire_event(TrainingEvents.SAVE_DUE)

    def _takes_steps(self, engine: Engine) -> bool:
        """Whether a step of the epoch has been taken, in this process or before."""
        state = engine.state
        return bool(state.iteration > (state.epoch - 1) * (state.epoch_length or 1)) if state.epoch else False
