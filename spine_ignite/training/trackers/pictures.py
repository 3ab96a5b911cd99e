"""Pictures of validation slices, for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine

from spine_ignite.drawing.panels import side_by_side
from spine_ignite.labels import IGNORE
from spine_ignite.training.board import Board
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.setup import Run

_PICTURES = 4


class Pictures:
    """Shows image, reference and prediction of validation slices every ``log.pictures_every`` validations.

    Pictures show scans, so they are in a folder of their own: the rest of TensorBoard's log can be given away.

    Args:
        run: the run.
        echo: takes a line about what went wrong.
    """

    def __init__(self, run: Run, echo: Callable[[str], None]) -> None:
        self.run = run
        self.board = Board(run.directory.tensorboard / "pictures", echo)

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        if self.run.config.log.pictures_every:
            trainer.add_event_handler(TrainingEvents.RECORDED, self)

    def __call__(self) -> None:
        """Draw pictures, if they are due."""
        run = self.run
        if not run.is_validated:
            return
        # Counted from the first epoch on, whether the run was resumed or not; the last may be one out of turn.
        validations = -(-run.row["epoch"] // run.config.train.validate_every)
        if validations % run.config.log.pictures_every:
            return
        step, shown = run.row["iteration"], stack(_pictures(run))
        if self.board.logger is None:
            self.board.open(step)
        self.board.write(lambda writer: writer.add_images("validation", shown, step, dataformats="NHWC"))

    def close(self) -> None:
        """Close the event file."""
        self.board.close()


def _pictures(run: Run) -> list[Any]:
    """Image, reference and prediction of the validation slices with most structures, from as many places."""
    chosen: list[tuple[int, Any]] = []
    judged = run.judged.eval()
    for batch in run.data.validation or ():
        areas = ((batch["label"] > 0) & (batch["label"] != IGNORE)).sum((1, 2))
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


def stack(pictures: Sequence[Any]) -> Any:
    """Stack RGB pictures ``(H, W, 3)`` that may differ in size, the smaller ones with a black margin."""
    rows, columns = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    result = np.zeros((len(pictures), rows, columns, 3), np.uint8)
    for place, picture in zip(result, pictures, strict=True):
        place[: picture.shape[0], : picture.shape[1]] = picture
    return result
