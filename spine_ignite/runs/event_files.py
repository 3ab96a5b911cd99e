"""What TensorBoard's event files hold."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event

_NUMBERS = {"scalars", "hparams"}  # TensorBoard's plugins whose summaries are numbers and settings
_TEXTS = {"config/text_summary"}  # texts that training writes


def holds_only_numbers(path: Path) -> bool:
    """Whether an event file holds the numbers and settings that training logs and nothing else, such as pictures.

    A file with a part that cannot be read holds something else.
    """
    try:
        events = [Event.FromString(record) for record in _records(path.read_bytes())]
    except Exception:  # of damaged records protobuf may raise anything
        return False
    return all(_is_number(value) for event in events for value in _values(event))


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a TFRecord file: length, checksum, content, checksum."""
    place = 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        end = place + 12 + length
        if end + 4 > len(data):
            raise ValueError("the last record is cut off")
        yield data[place + 12 : end]
        place = end + 4


def _values(event: Any) -> list[Any]:
    """What an event holds; None in place of what is no summary, such as a graph."""
    kind = event.WhichOneof("what")
    if kind == "summary":
        return list(event.summary.value)
    return [] if kind in ("file_version", "session_log", "source_metadata", None) else [None]


def _is_number(value: Any) -> bool:
    if value is None:
        return False
    if value.WhichOneof("value") == "simple_value":
        return True
    plugin = value.metadata.plugin_data.plugin_name
    return plugin in _NUMBERS or (plugin == "text" and value.tag in _TEXTS)
