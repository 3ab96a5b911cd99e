"""What the naming of a column said of itself: ``<name>.levels.json`` beside a label volume, whoever wrote it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from spine_ignite.config.postprocess import LEVELS
from spine_ignite.inference.records import vouches_for
from spine_ignite.names import cut
from spine_ignite.volumes.reader import volume_stem

Verdict = Literal["accepted", "ask", "not certified"]
_FORMAT = 1
_MOST_BYTES = 2**22
_MOST_ENTRIES = 200
_NOT_OF_THIS = "the label volume, or what is said of its levels, was changed since it was predicted"
_LONGEST = 300  # characters of a sentence


@dataclass(frozen=True, slots=True)
class Certificate:
    """How sure the levels of a column are.

    Args:
        verdict: ``accepted`` or ``ask``; ``not certified`` without a file.
        posterior: probability of the whole naming; None if it is not told.
        risk: probability of a wrong column among those accepted that the verdict is for; None if it is not told.
        calibration: of the threshold, in words.
        reasons: why it was asked, a sentence each.
        alternatives: other namings, in words.
        levels: probability of each level, where it is told.
        flags: of levels, ``L5: cut off by the field of view``.
    """

    verdict: Verdict = "not certified"
    posterior: float | None = None
    risk: float | None = None
    calibration: str = ""
    reasons: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    levels: dict[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


def read_certificate(volume: Path) -> Certificate:
    """Read what is said of a label volume's levels.

    A file that is damaged, or of another format, gives a certificate that asks and says so: it must not pass for one
    that accepts, and must not stop the sheet. Nor is a volume accepted that was changed since it was predicted.
    """
    file = volume.with_name(f"{volume_stem(volume)}.levels.json")
    if not (file.exists() or file.is_symlink()):
        return Certificate()
    try:
        if not file.is_file() or file.stat().st_size > _MOST_BYTES:
            raise ValueError
        described = json.loads(file.read_text(encoding="utf-8"))
        if described["format"] != _FORMAT:
            raise ValueError
        found = _parsed(described["column"], described.get("instances", []))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Certificate("ask", reasons=(f"{file.name} is damaged, or of another version: name the levels again",))
    if found.verdict == "accepted" and volume.exists() and not vouches_for(volume, LEVELS, file):
        return replace(found, verdict="ask", reasons=(_NOT_OF_THIS, *found.reasons))
    return found


def _parsed(column: Any, instances: Any) -> Certificate:
    verdict = column["verdict"]
    if verdict not in ("accepted", "ask"):
        raise ValueError
    levels: dict[str, float] = {}
    flags: list[str] = []
    for instance in _listed(instances):
        level, probability = instance.get("level"), _share(instance.get("probability"))
        name = _text(level) if level is not None else f"a {_text(instance.get('kind', 'structure'))} without a level"
        if level is not None and probability is not None:
            levels[name] = probability
        flags += [f"{name}: {_text(flag)}" for flag in _listed(instance.get("flags"))]
    return Certificate(
        verdict,
        _share(column.get("posterior")),
        _share(column.get("risk")),
        _text(column.get("calibration") or ""),
        tuple(_text(reason) for reason in _listed(column.get("reasons"))),
        tuple(_alternative(entry) for entry in _listed(column.get("alternatives"))),
        levels,
        tuple(flags),
    )


def _listed(value: Any) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise ValueError
    return (value or [])[:_MOST_ENTRIES]


def _alternative(entry: Any) -> str:
    """``lowest L6, highest T11: 5 %``."""
    ends = [f"{end} {_text(entry[end])}" for end in ("lowest", "highest") if entry.get(end) is not None]
    posterior = _share(entry.get("posterior"))
    return ", ".join(ends) + (f": {posterior:.1%}" if posterior is not None else "")


def _share(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:  # NaN is refused too
        raise ValueError
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, (str, int, float)):
        raise ValueError
    return cut(str(value), _LONGEST)
