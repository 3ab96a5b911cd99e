"""What TensorBoard gets."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.handlers.tensorboard_logger import TensorboardLogger

from spine_ignite.config import dump_config
from spine_ignite.drawing.panels import side_by_side
from spine_ignite.files import refuse_links
from spine_ignite.names import code_block
from spine_ignite.runs.checkpoints import TrainedNetwork
from spine_ignite.runs.directory import read_rows
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.handlers.epoch_end import EpochEnd
from spine_ignite.training.setup import Run
from spine_ignite.volumes.reader import volume_suffix, written_suffix
from spine_ignite.volumes.volume import read_image, reading_of, write_label_like

_PICTURES = 4


class Board:
    """TensorBoard's writer for a run, which a folder that is deleted or a disk that is full does not stop.

    Args:
        folder: for the event files.
        text: the configuration, for its page; None: no such page.
        echo: takes a line about what went wrong.
    """

    def __init__(self, folder: Path, text: str | None, echo: Callable[[str], None]) -> None:
        self.folder = folder
        self.text = text
        self.echo = echo
        self.logger: TensorboardLogger | None = None
        self.beside: list[Board] = []

    def with_folder(self, name: str) -> Board:
        """Return a board for a folder in this one's, without an event file so far; it is closed with this one."""
        board = Board(self.folder / name, None, self.echo)
        self.beside.append(board)
        return board

    def write(self, add: Callable[[Any], None]) -> None:
        """Let ``add`` write with a ``SummaryWriter``; if that fails, begin a new event file, once, or give up."""
        for attempt in ("goes on in a new file", "is given up"):
            if self.logger is None:
                return
            try:
                if not any(self.folder.glob("events.*")):  # the writer's thread would die of it, loudly
                    raise FileNotFoundError(errno.ENOENT, f"{self.folder} was deleted")
                add(self.logger.writer)
                self.logger.writer.flush()
                return
            except OSError as error:
                self.echo(f"Warning:   TensorBoard's log cannot be written ({error.strerror or error}); it {attempt}")
                self.close()
                if attempt.startswith("goes"):
                    self.open(None)

    def close(self) -> None:
        """Close the event file; what cannot be written any more is lost."""
        for board in self.beside:
            board.close()
        logger, self.logger = self.logger, None
        if logger is not None:
            with suppress(OSError):
                logger.close()

    def open(self, purge_step: int | None) -> None:
        """Begin an event file; ``purge_step``, of a resumed run, is where earlier points are forgotten from."""
        refuse_links(self.folder / "events")
        with suppress(OSError):
            self.logger = TensorboardLogger(log_dir=str(self.folder), purge_step=purge_step)
            if self.text is not None:
                self.logger.writer.add_text("config", code_block(self.text, "yaml"), 0)


def attach_tensorboard(run: Run, epoch_end: EpochEnd, echo: Callable[[str], None]) -> Board:
    """Log scalars of every epoch, pictures of validation, and the configuration; close the board after the run.

    Pictures show scans, so they are in a folder of their own: the rest can be given away.
    """
    board = Board(run.directory.tensorboard, dump_config(run.config), echo)
    album = board.with_folder("pictures")

    def write() -> None:
        values = epoch_end.row
        pictures = []
        if "validation/dice" in values:
            # Counted from the first epoch on, whether the run was resumed or not; the last may be one out of turn.
            validations = -(-values["epoch"] // run.config.train.validate_every)
            every = run.config.log.pictures_every
            pictures = _pictures(run) if every and validations % every == 0 else []

        def add(writer: Any) -> None:
            for name, value in values.items():
                if name not in ("epoch", "iteration") and np.isfinite(value):
                    writer.add_scalar(name, value, values["iteration"])

        board.write(add)
        if pictures:
            step, shown = values["iteration"], _stack(pictures)
            if album.logger is None:
                album.open(step)
            album.write(lambda writer: writer.add_images("validation", shown, step, dataformats="NHWC"))

    def begin(engine: Engine) -> None:
        board.open(engine.state.iteration + 1 if engine.state.iteration else None)

    def conclude(_engine: Engine) -> None:
        dices = [row.get("validation/dice") for row in read_rows(run.directory.metrics)]
        best = max((dice for dice in dices if dice is not None), default=0.0)
        board.write(lambda writer: writer.add_hparams(_hyper_parameters(run), {"hparam/dice": best}, run_name="."))

    run.trainer.add_event_handler(TrainingEvents.RECORDED, write)
    run.trainer.add_event_handler(Events.STARTED, begin)
    run.trainer.add_event_handler(Events.COMPLETED, conclude)
    return board


def attach_volumes(run: Run) -> None:
    """Write the predicted volume of the first validation case every ``log.volumes_every`` epochs."""
    from spine_ignite.inference.members import Member, window_of
    from spine_ignite.inference.predictor import Predictor

    every = run.config.log.volumes_every
    names = set(run.data.validation_names)
    cases = [case for case in run.data.store.split("train") if case.name in names]
    if not every or not cases:
        return

    def write(engine: Engine) -> None:
        epoch = engine.state.epoch
        if epoch % every:
            return
        source = Path(cases[0].image.path)
        volume = read_image(source, reading_of(run.config.data))
        trained = TrainedNetwork(run.judged.eval(), run.description, run.directory.last)
        member = Member(trained, window=window_of(run.config), overlap=run.config.predict.overlap)
        labels = Predictor([member], device=run.device, precision=run.precision).segment(volume).values
        name = f"{cases[0].name}{written_suffix(volume_suffix(source))}"
        write_label_like(run.directory.predictions / f"epoch_{epoch}" / name, labels, volume)

    run.trainer.add_event_handler(TrainingEvents.RECORDED, write)


def _pictures(run: Run) -> list[Any]:
    """Image, reference and prediction of the validation slices with most structures, from as many places."""
    validation = run.data.validation
    if validation is None:
        return []
    chosen: list[tuple[int, Any]] = []
    judged = run.judged.eval()
    for batch in validation:
        areas = (batch["label"] > 0).sum((1, 2))
        place = int(areas.argmax())
        chosen.append((int(areas[place]), {k: v[place : place + 1] for k, v in batch.items()}))
    chosen.sort(key=lambda item: -item[0])
    result = []
    with torch.inference_mode():
        for _, batch in chosen[:_PICTURES]:
            image = batch["image"].to(run.device)
            with run.precision.autocast():
                prediction = judged(image).argmax(1)[0].to(torch.uint8).cpu().numpy()
            middle = batch["image"][0, run.config.data.context_slices].numpy()
            result.append(side_by_side(middle, batch["label"][0].numpy(), prediction, run.scheme))
    return result


def _stack(pictures: Sequence[Any]) -> Any:
    """Stack RGB pictures ``(H, W, 3)`` that may differ in size, the smaller ones with a black margin."""
    rows, columns = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    result = np.zeros((len(pictures), rows, columns, 3), np.uint8)
    for place, picture in zip(result, pictures, strict=True):
        place[: picture.shape[0], : picture.shape[1]] = picture
    return result


def _hyper_parameters(run: Run) -> dict[str, Any]:
    config = run.config
    return {
        "model": config.model.name,
        "loss": config.loss.name,
        "optimizer": config.optimizer.name,
        "lr": config.optimizer.lr,
        "weight_decay": config.optimizer.weight_decay,
        "schedule": config.schedule.name,
        "batch_size": config.data.batch_size,
        "precision": run.precision.name,
        "context_slices": config.data.context_slices,
    }
