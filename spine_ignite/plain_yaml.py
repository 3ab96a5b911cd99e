"""YAML from anyone: plain data of a size that a person would write, and one sentence about anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from spine_ignite.names import brief, cut

_MOST_BYTES = 2**20
_MOST_NODES = 10_000  # values, keys and lists, those counted again that an alias repeats
_MOST_DEPTH = 40


class YamlError(ValueError):
    """Why a text is not taken, in one line."""


def read_yaml(path: Path) -> Any:
    """Read a file as plain data.

    Raises:
        OSError: it cannot be read.
        YamlError: it is no YAML, or larger or more deeply nested than a person would write.
    """
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise YamlError(f"it is larger than {_MOST_BYTES // 2**20} MiB")
    try:
        return parse_yaml(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise YamlError(f"it is not UTF-8 (byte {error.start})") from error


def parse_yaml(text: str) -> Any:
    """Read a text as plain data; see :func:`read_yaml`.

    Raises:
        YamlError: as there.
    """
    try:
        # A SafeLoader all the same, which makes plain data and nothing else.
        return yaml.load(text, Loader=_Loader)  # nosec B506
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise YamlError(cut(" ".join(str(error).split()), 300)) from error


class _Loader(yaml.SafeLoader):
    """Counts what it is given before it makes anything of it, and refuses a key that is given twice."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = 0
        self._nodes = 0
        self._sizes: dict[str, int] = {}  # of what an anchor names, once it is complete

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, with all that is in it."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._nodes
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor in self.anchors and anchor not in self._sizes:
                raise _problem(f"what '&{cut(str(anchor), 40)}' names holds itself", event)
            self._nodes += self._sizes.get(str(anchor), 1)
        else:
            self._nodes += 1
        self._depth += 1
        if self._nodes > _MOST_NODES or self._depth > _MOST_DEPTH:
            limit = f"{_MOST_NODES:,} values" if self._nodes > _MOST_NODES else f"{_MOST_DEPTH} levels of nesting"
            raise _problem(f"it has more than {limit}", event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if anchor is not None and not isinstance(event, yaml.AliasEvent):
            self._sizes[anchor] = self._nodes - before
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Compose a mapping; of two equal keys the first would be lost in silence."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise _problem(f"the key {brief(key.value)} is given twice", key)
                seen.add((key.tag, key.value))
        return node


def _problem(text: str, place: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=place.start_mark)
