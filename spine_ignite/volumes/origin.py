"""Whether a volume is of a person, as far as its file tells."""

from __future__ import annotations

from spine_ignite.volumes.volume import Volume

PHANTOM = "spine-ignite phantom"  # the description in the NIfTI header of one


def is_phantom(volume: Volume) -> bool:
    """Whether the file of a volume says that it is one of our phantoms; others say nothing, and pass for people."""
    try:
        text = bytes(volume.header["descrip"])
    except (TypeError, KeyError, ValueError, IndexError):  # of another format, or of no file
        return False
    return text.rstrip(b"\0") == PHANTOM.encode()
