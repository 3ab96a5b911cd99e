"""Events of training besides Ignite's own; what happens when is decided by them, not by who was attached first."""

from __future__ import annotations

from ignite.engine import Engine, EventEnum


class TrainingEvents(EventEnum):
    """Events that the trainer fires besides Ignite's, in the order of their first coming.

    ``GRADIENTS_READY``: the gradients of a whole group of accumulated steps are there, unscaled and not yet clipped.
    ``UPDATED``: the optimizer has taken its step, so that no gradients wait; ``ITERATION_COMPLETED`` follows.
    ``STEP_SETTLED``: all handlers of ``ITERATION_COMPLETED`` have done their work, whoever attached them when.
    ``FAILED``: a loss is not finite; an error follows.
    ``EPOCH_ENDING``: the steps of an epoch are done, or it is cut short; ``EPOCH_COMPLETED`` follows.
    ``VALIDATED``: the epoch has been validated, if that was due and there is anything to validate on.
    ``RECORDING``: whoever knows a figure of the epoch puts it into ``run.row`` now.
    ``RECORDED``: ``run.row`` is whole, and ``trainer.state.metrics`` holds it: for all that tell or judge it.
    ``EPOCH_SETTLED``: all handlers of ``EPOCH_COMPLETED`` have done their work, whoever attached them when.
    ``SAVE_DUE``: a checkpoint to resume from is wanted now.
    ``SAVING``: it is about to be written, and its numbers are finite.
    ``SAVED``: it is on the disk.
    """

    GRADIENTS_READY = "gradients_ready"
    UPDATED = "updated"
    STEP_SETTLED = "step_settled"
    FAILED = "failed"
    EPOCH_ENDING = "epoch_ending"
    VALIDATED = "validated"
    RECORDING = "recording"
    RECORDED = "recorded"
    EPOCH_SETTLED = "epoch_settled"
    SAVE_DUE = "save_due"
    SAVING = "saving"
    SAVED = "saved"


_OF_EPOCHS = {
    TrainingEvents.EPOCH_ENDING,
    TrainingEvents.VALIDATED,
    TrainingEvents.RECORDING,
    TrainingEvents.RECORDED,
    TrainingEvents.EPOCH_SETTLED,
}


def attribute_of(event: TrainingEvents) -> str:
    """Return the name of what counts these events in ``engine.state``."""
    return "epoch" if event in _OF_EPOCHS else "iteration"


def ends_epoch(engine: Engine) -> bool:
    """Whether the step that is over is the last of its epoch, as planned or since training was asked to end."""
    return bool(engine.should_terminate) or at_boundary(engine)


def at_boundary(engine: Engine) -> bool:
    """Whether training is between two epochs: not within one, where a run that was interrupted is gone on with."""
    return bool(engine.state.iteration % (engine.state.epoch_length or 1) == 0)
