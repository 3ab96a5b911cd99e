"""Find cases by what tables and lists call them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from spine_ignite.datasets.case_ids import case_id
from spine_ignite.volumes.reader import volume_stem


class CaseNames:
    """Finds cases by what tables and lists call them: the name, the file's name, the case id, in any case of letters.

    Args:
        names: the cases.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, str] = {}
        for name in names:
            for key in (name, name.lower(), case_id(Path(name))):
                self._names.setdefault(key, name)

    def find(self, text: str) -> str | None:
        """Return the name of the case that is meant, or None if there is none."""
        path = Path(text)
        keys = (text, volume_stem(path).lower(), case_id(path))
        return next((self._names[key] for key in keys if key in self._names), None)
