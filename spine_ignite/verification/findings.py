"""What a verification has found: what does not fit, what could not be checked, and what was."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_MOST = 10  # lines about one thing


@dataclass
class Findings:
    """What a verification has found so far, a sentence each.

    Args:
        name: stands before the sentences of a part, such as the fold of a cross-validation; empty for the whole.

    Attributes:
        wrong: what does not fit.
        unchecked: what was asked for and could not be checked.
        notes: what a reader must know of the rest.
        checked: how much was found to fit, by what it is.
    """

    name: str = ""
    wrong: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)

    @property
    def fits(self) -> bool:
        """Whether all that was asked for was checked and fits."""
        return not self.wrong and not self.unchecked

    def refuse(self, *sentences: str) -> None:
        """Add what does not fit; of many sentences about one thing the first ones, and how many more there are."""
        self.wrong += [self._named(sentence) for sentence in shortened(list(sentences))]

    def leave(self, sentence: str) -> None:
        """Add what could not be checked."""
        self.unchecked.append(self._named(sentence))

    def note(self, sentence: str) -> None:
        """Add what a reader must know."""
        if (text := self._named(sentence)) not in self.notes:
            self.notes.append(text)

    def add(self, other: Findings) -> None:
        """Take over what was found of a part."""
        self.wrong += other.wrong
        self.unchecked += other.unchecked
        self.notes += other.notes
        self.checked += other.checked

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "fits": self.fits,
            "wrong": self.wrong,
            "unchecked": self.unchecked,
            "notes": self.notes,
            "checked": dict(self.checked),
        }

    def _named(self, sentence: str) -> str:
        return f"{self.name}: {sentence}" if self.name else sentence


def shortened(sentences: list[str]) -> list[str]:
    """Return the first sentences of many, and one that counts the others."""
    rest = len(sentences) - _MOST
    return sentences if rest <= 1 else [*sentences[:_MOST], f"{sentences[0].partition(':')[0]}: and {rest} more"]
