"""An event file of TensorBoard's that does not stop a run."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ignite.handlers.tensorboard_logger import TensorboardLogger

from spine_ignite.files import refuse_links
from spine_ignite.names import code_block


class Board:
    """TensorBoard's writer, which a folder that is deleted or a disk that is full does not stop.

    Args:
        folder: for the event files.
        echo: takes a line about what went wrong.
        text: the configuration, for its page; None: no such page.
    """

    def __init__(self, folder: Path, echo: Callable[[str], None], text: str | None = None) -> None:
        self.folder = folder
        self.echo = echo
        self.text = text
        self.logger: TensorboardLogger | None = None

    def open(self, purge_step: int | None) -> None:
        """Begin an event file; ``purge_step``, of a resumed run, is where earlier points are forgotten from."""
        refuse_links(self.folder / "events")
        with suppress(OSError):
            self.logger = TensorboardLogger(log_dir=str(self.folder), purge_step=purge_step)
            if self.text is not None:
                self.logger.writer.add_text("config", code_block(self.text, "yaml"), 0)

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
                reason = error.strerror or error
                self.echo(f"Warning:   TensorBoard's log in {self.folder} cannot be written ({reason}); it {attempt}")
                self.close()
                if attempt.startswith("goes"):
                    self.open(None)

    def close(self) -> None:
        """Close the event file; what cannot be written any more is lost."""
        logger, self.logger = self.logger, None
        if logger is not None:
            with suppress(OSError):
                logger.close()
