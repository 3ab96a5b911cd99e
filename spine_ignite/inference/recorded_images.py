"""Which image a label volume is of: by its record, where that is of an exam, else by case id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spine_ignite.datasets.case_ids import bare_id
from spine_ignite.datasets.pairing import match_by_id
from spine_ignite.inference.records import exam_recorded
from spine_ignite.volumes.reader import volume_stem


def match_images(images: Sequence[Path], labels: Sequence[Path]) -> dict[str, tuple[Path | None, Path | None]]:
    """Bring label volumes and their images together; see :func:`spine_ignite.datasets.pairing.match_by_id`.

    The labels of an exam of several contrasts are called as the exam is, and lie on the grid of one of its images,
    which their record names.

    Raises:
        DataError: two images, or two label volumes, of those that no record tells apart have the same id.
    """
    by_name = {path.name: path for path in images}
    found: dict[str, tuple[Path | None, Path | None]] = {}
    exams: set[Path] = set()
    for label in labels:
        recorded = [by_name[name] for name in exam_recorded(label) if name in by_name]
        if recorded and recorded[0].name == exam_recorded(label)[0]:
            found[bare_id(volume_stem(label))] = (recorded[0], label)
            exams |= set(recorded)
    told = {label for _, label in found.values()}
    others = [path for path in images if path not in exams]
    return {**match_by_id(others, [label for label in labels if label not in told]), **found}
