"""How a checkpoint reaches the disk: the new one is safely there before the old one goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch

from spine_ignite.files import keep_as, write_atomically


def save_checkpoint(path: Path, checkpoint: Mapping[str, Any], previous: Path | None = None) -> None:
    """Replace the file by this checkpoint.

    Args:
        path: the file.
        checkpoint: tensors and plain data.
        previous: where the checkpoint before is kept, for the case that the file is damaged later; None: nowhere.

    Raises:
        RunError: it cannot be written; the former file is still there.
    """
    with write_atomically(path) as temporary:
        with temporary.open("wb") as file:
            _save(dict(checkpoint), file)
        if previous is not None and path.is_file():
            keep_as(path, previous)


class _Watched:
    """A file that remembers the error of a failed write, which torch's writer replaces by one of its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def _save(checkpoint: dict[str, Any], file: IO[bytes]) -> None:
    watched = _Watched(file)
    try:
        torch.save(checkpoint, watched)  # type: ignore[arg-type]
        file.flush()
    except RuntimeError as error:
        raise (watched.error or error) from error
