"""Every file that a run directory may hold by name, and what is in it: what may be deleted with it, or given away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path

from spine_ignite.ownership import Listed, listed


class Sort(Enum):
    """What kind of thing a file of a run holds."""

    LOG = "settings, numbers and names"
    WEIGHTS = "the network"
    SCANS = "pictures or volumes of scans"


_SPLIT = "(test|validation)"
_EVENTS = r"events\.out\.tfevents\..+"
EVENT_FILES = (Listed("tensorboard", _EVENTS), Listed("tensorboard/pictures", _EVENTS))
_FILES = {
    Sort.LOG: (
        Listed("", r"config\.yaml|environment\.json|split\.json|(metrics|doctor)\.jsonl|postprocess\.json"),
        EVENT_FILES[0],
        Listed("evaluation", r"cost\.json"),
        Listed(f"evaluation/{_SPLIT}", r"summary\.json|(cases|classes|confusion)\.csv"),
    ),
    Sort.WEIGHTS: (Listed("checkpoints", r"(last|previous|best)\.(pt|safetensors|pt2)"),),
    Sort.SCANS: (
        Listed("", r"report\.html"),
        EVENT_FILES[1],
        Listed(f"evaluation/{_SPLIT}/pictures", r".+\.png"),
        Listed(rf"predictions/({_SPLIT}|epoch_\d+)", r".+\.(nii|nii\.gz|mha)"),
        Listed(f"predictions/{_SPLIT}", r".+\.json"),
        Listed(f"predictions/{_SPLIT}/(probabilities|uncertainty)", r".+\.nii\.gz"),
    ),
}
RUN_CONTENTS = tuple(entry for entries in _FILES.values() for entry in entries)


def files_of_run(root: Path, sorts: Iterable[Sort]) -> Iterator[Path]:
    """Find a run's files of some sorts. Links, and what lies behind them, are left out.

    Raises:
        OSError: a folder cannot be read.
    """
    for path in listed(root, [entry for sort in sorts for entry in _FILES[sort]]):
        if path.is_file() and not path.is_symlink():
            yield path
