"""Files that are compressed with gzip, and reading them so that damage is seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

# zlib and gzip cannot shrink data by more than about 1032 to 1, so a smaller file cannot hold what its header promises.
MAX_ZLIB_RATIO = 1032


def is_gzip(path: Path) -> bool:
    """Whether a file is compressed with gzip, by its name."""
    return path.name.lower().endswith((".gz", ".mgz"))


@contextmanager
def to_the_end(stream: BufferedIOBase) -> Iterator[BufferedIOBase]:
    """Read a compressed stream on to its end, where its checksum is compared, and close it.

    Whoever wants the voxels alone stops before, and damage would go unseen.

    Raises:
        OSError, EOFError, zlib.error: it is damaged or cut off.
    """
    with stream:
        yield stream
        while stream.read(1 << 20):
            pass
