"""What told the contrasts of a run's datasets, recorded when it begins: other files may be numbered otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from spine_ignite.config import DataConfig
from spine_ignite.datasets.contrast_names import channel_names
from spine_ignite.datasets.exams import TABLE
from spine_ignite.datasets.find_cases import layout_of
from spine_ignite.errors import DataError
from spine_ignite.labels import dataset_json
from spine_ignite.runs.directory import RunDirectory

Numbers = Mapping[int, str]  # the contrast of each of nnU-Net's channels


def contrasts_of(data: DataConfig) -> dict[str, dict[str, Any]]:
    """Return what tells the contrasts of each dataset of a configuration, by the keys that name them.

    ``by`` is a table, what names end in, or of nnU-Net's folders its ``dataset.json``, or the order of
    ``data.contrasts``. There ``channels`` has the number that each contrast is read from, and ``names`` what the file
    calls these channels.

    Returns:
        Plain data for JSON; nothing of a configuration without contrasts.
    """
    found = {}
    for key, root in data.roots.items() if data.contrasts else ():
        with suppress(DataError):  # whoever reads the dataset says so
            found[key] = _told_by(root, data.contrasts)
    return found


def _told_by(root: Path, contrasts: Sequence[str]) -> dict[str, Any]:
    if (root / TABLE).is_file():
        return {"by": TABLE}
    if layout_of(root).value.name != "nnunet":
        return {"by": "names"}
    names = channel_names(contrasts, root)
    channels = {contrast: number for number, contrast in names.channels.items()}
    if not names.called:
        return {"by": "order", "channels": channels}
    called = {contrast: names.called[number] for contrast, number in channels.items()}
    return {"by": dataset_json.FILE, "channels": channels, "names": called}


def recorded_numbers(directory: RunDirectory) -> list[Numbers]:
    """Return which contrast each channel of nnU-Net's was in training, of each dataset whose files were numbered.

    A run whose record is gone or says nothing about it has none.
    """
    try:
        recorded = json.loads(directory.environment.read_text(encoding="utf-8"))["contrasts"].values()
        numbered = [dataset["channels"] for dataset in recorded if "channels" in dataset]
        return [{int(number): str(contrast) for contrast, number in channels.items()} for channels in numbered]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
