"""Events of training besides Ignite's own; what happens when is decided by them, not by who was attached first."""

from __future__ import annotations

from ignite.engine import EventEnum


class TrainingEvents(EventEnum):
    """Events that the trainer fires besides Ignite's.

    ``GRADIENTS_READY``: the gradients of a whole group of accumulated steps are there, unscaled and not yet clipped.
    ``RECORDED``: an epoch is over, cut short or not, and validated if that was due; ``trainer.state.metrics`` holds its
    row, as ``metrics.jsonl`` does.
    ``SAVE_DUE``: a checkpoint to resume from is wanted now.
    ``SAVING``: it is about to be written, and its numbers are finite.
    ``SAVED``: it is on the disk.
    """

    GRADIENTS_READY = "gradients_ready"
    RECORDED = "recorded"
    SAVE_DUE = "save_due"
    SAVING = "saving"
    SAVED = "saved"
