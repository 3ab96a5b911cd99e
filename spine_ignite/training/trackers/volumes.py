"""Predicted volumes along the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ignite.engine import Engine

from spine_ignite.runs.checkpoints import TrainedNetwork
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.setup import Run
from spine_ignite.volumes.contrasts import read_contrasts
from spine_ignite.volumes.reader import volume_suffix, written_suffix
from spine_ignite.volumes.volume import reading_of, write_label_like


class Volumes:
    """Writes the predicted volume of the first validation case every ``log.volumes_every`` epochs.

    Args:
        run: the run.
        echo: not used; all trackers take the same arguments.
    """

    def __init__(self, run: Run, echo: Callable[[str], None]) -> None:
        self.run = run
        names = set(run.data.validation_names)
        self.case = next((case for case in run.data.store.split("train") if case.name in names), None)

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        if self.run.config.log.volumes_every and self.case is not None:
            trainer.add_event_handler(TrainingEvents.RECORDED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the volume of an epoch, if it is due."""
        run, case, epoch = self.run, self.case, engine.state.epoch
        if case is None or epoch % run.config.log.volumes_every:
            return
        from spine_ignite.inference.members import Member, window_of
        from spine_ignite.inference.predictor import Predictor

        source = Path(case.image.path)
        volume = read_contrasts(source, case.images, reading_of(run.config.data))
        trained = TrainedNetwork(run.judged.eval(), run.description, run.directory.last)
        member = Member(
            trained, window=window_of(run.config.predict, run.config.data), overlap=run.config.predict.overlap
        )
        labels = Predictor([member], device=run.device, precision=run.precision).segment(volume).values
        name = f"{case.name}{written_suffix(volume_suffix(source))}"
        write_label_like(run.directory.predictions / f"epoch_{epoch}" / name, labels, volume)
