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
        Listed("", r"config\.yaml|(environment|split|start)\.json|(metrics|doctor|manifest)\.jsonl|postprocess\.json"),
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
_OF_FOLDS = {
    Sort.LOG: (
        Listed("", r"cross-validation\.yaml|(splits|trained|result|calibration)\.json|suspects\.csv|manifest\.jsonl"),
        Listed("logs", r"(fold\d+|judge)\.log"),
        Listed("evaluation/(out-of-fold|test)", r"summary\.json|(cases|classes|confusion)\.csv"),
    ),
    Sort.WEIGHTS: (),
    Sort.SCANS: (
        Listed("", r"suspects\.html"),
        Listed("suspects", r"\d{3,}_.+\.png"),
        Listed("out-of-fold", r".+\.(nii|nii\.gz|mha|json)"),
        Listed("evaluation/test/pictures", r".+\.png"),
        Listed("predictions/test", r".+\.(nii|nii\.gz|mha|json)"),
    ),
}
RUN_CONTENTS = tuple(entry for entries in _FILES.values() for entry in entries)


def files_of_run(root: Path, sorts: Iterable[Sort]) -> Iterator[Path]:
    """Find a run's files of some sorts, or those of a cross-validation beside its folds; links are left out.

    Raises:
        OSError: a folder cannot be read.
    """
    known = _OF_FOLDS if (root / "cross-validation.yaml").is_file() else _FILES
    for path in listed(root, [entry for sort in sorts for entry in known[sort]]):
        if path.is_file() and not path.is_symlink():
            yield path
