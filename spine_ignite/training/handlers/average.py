"""The averaged weights."""

from __future__ import annotations

from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler


def attach_average(average: EMAHandler, trainer: Engine, accumulate: int) -> None:
    """Update the averaged weights after each update of the network's.

    Args:
        average: Ignite's handler, which holds them.
        trainer: the trainer.
        accumulate: steps of an update.
    """

    def after_update(engine: Engine, iteration: int) -> bool:
        # Groups of accumulated steps begin anew in each epoch, and the last one of an epoch may be smaller.
        place = (iteration - 1) % engine.state.epoch_length + 1
        return bool(place % accumulate == 0 or place == engine.state.epoch_length)

    average.attach(trainer, event=Events.ITERATION_COMPLETED(event_filter=after_update))
