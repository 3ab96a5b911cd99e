"""Which contrast of an exam a file is, by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spine_ignite.datasets.case_ids import CHANNEL
from spine_ignite.errors import DataError, UsageError
from spine_ignite.labels import dataset_json

Told = tuple[str, str]  # a contrast, and the rest of the name


@dataclass(frozen=True, slots=True)
class ContrastNames:
    """How the names of a folder's files tell contrasts.

    Args:
        contrasts: of the run, in its order.
        channels: the contrast of each of nnU-Net's channels; empty where names do not end in one.
        called: what a file calls each of these channels; empty where none does, and they are counted.
    """

    contrasts: tuple[str, ...]
    channels: Mapping[int, str] = field(default_factory=dict)
    called: Mapping[int, str] = field(default_factory=dict)

    def tell(self, stem: str) -> Told | None:
        """Return which contrast a file without suffix is, and what the names of its exam have in common.

        ``12_t1`` is ``t1`` of ``12``, ``sub-7_T2w`` is ``T2w``, and ``t2``, of ``sub-7``; with nnU-Net's channels
        ``a_0001`` is the second one of ``a``.
        """
        if self.channels:
            number = CHANNEL.search(stem)
            known = self.channels.get(int(number[1])) if number is not None else None
            return (known, stem[: -len("_0000")]) if known is not None else None
        for name in sorted(self.contrasts, key=len, reverse=True):
            found = re.fullmatch(rf"(.+)[_-]{re.escape(name)}w?", stem, re.IGNORECASE)
            if found is not None:
                return name, found[1]
        return None


def channel_names(contrasts: Sequence[str], root: Path) -> ContrastNames:
    """Return how the channels of nnU-Net's raw dataset are called: by its ``dataset.json``, else in their order.

    Raises:
        DataError: the file cannot be used, or names channels of which none is called as one of the contrasts.
    """
    path = root / dataset_json.FILE
    try:
        channels = dataset_json.read_dataset_json(path).channels if path.is_file() else ()
    except UsageError as error:  # another order than that of the file would be a swap that nobody sees
        raise DataError(f"{error}, so that it does not tell which channel is which contrast; correct it") from error
    if not channels:
        return ContrastNames(tuple(contrasts), dict(enumerate(contrasts)))
    named = {place: found for place, channel in enumerate(channels) if (found := _same(channel, contrasts))}
    lacking = [name for name in contrasts if name not in named.values()]
    if not named:
        raise DataError(
            f"{path} names the channels {', '.join(channels)}, and none is called {' or '.join(lacking)}; name the "
            "contrasts as it does (data.contrasts), or correct it"
        )
    return ContrastNames(tuple(contrasts), named, {place: channels[place] for place in named})


def names_in_folder(contrasts: Sequence[str], files: Iterable[str]) -> ContrastNames:
    """Return how the files of any folder, by their names without suffix, tell contrasts: by number if all are numbered.

    Args:
        contrasts: of the run.
        files: that lie there.
    """
    numbers = [CHANNEL.search(stem) for stem in files]
    by_number = bool(numbers) and all(number is not None and int(number[1]) < len(contrasts) for number in numbers)
    return ContrastNames(tuple(contrasts), dict(enumerate(contrasts)) if by_number else {})


def _same(channel: str, contrasts: Sequence[str]) -> str | None:
    """The contrast of a channel's name, whatever its capitals and separators: ``T2w`` is ``t2``."""
    plain = _plain(channel)
    return next((name for name in contrasts if plain in (_plain(name), f"{_plain(name)}w")), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
