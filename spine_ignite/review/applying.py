"""Decisions carried out: levels corrected without a network, label volumes taken into a dataset as training cases."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from spine_ignite.csv_files import csv_text, read_csv
from spine_ignite.datasets.case_ids import CHANNEL
from spine_ignite.datasets.find_cases import image_files, layout_of
from spine_ignite.datasets.volume_files import volume_files
from spine_ignite.errors import DataError, RunError, UsageError, reason
from spine_ignite.files import write_atomically, write_text
from spine_ignite.inference.levels.conditions import Click, Conditions, check_level
from spine_ignite.inference.levels.label_files import Leveled, level_files
from spine_ignite.inference.recorded_images import match_images
from spine_ignite.labels import LabelScheme
from spine_ignite.ownership import Listed, own_folder
from spine_ignite.review.decisions import Decision
from spine_ignite.volumes.alignment import aligned
from spine_ignite.volumes.digests import file_sha256, parts_of, volume_sha256
from spine_ignite.volumes.reader import volume_suffix, written_suffix
from spine_ignite.volumes.volume import STRICT, Reading, read_image, read_label, write_label_like

Progress = Callable[[Any], Any]
RECORD = "corrected.csv"
USE = "reviewed output of a network for training, no reference to judge by"
_COLUMNS = (
    "case", "image", "mask", "image_sha256", "mask_sha256", "source", "source_sha256", "scheme", "decision", "level",
    "x_mm", "y_mm", "z_mm", "remark", "decided_by", "added_on", "use",
)  # fmt: skip
_OURS = (
    Listed("train/(source|label)", r"reviewed-.*"),
    Listed("imagesTr|labelsTr", r"reviewed-.*"),
    Listed("", RECORD.replace(".", r"\.")),
)


@dataclass(frozen=True, slots=True)
class Added:
    """A training case that was made of a reviewed label volume, or why there is none."""

    source: Path
    mask: Path | None = None
    error: str | None = None


def correct_levels(
    decided: Mapping[Path, Decision],
    scheme: LabelScheme,
    out: Path,
    *,
    reading: Reading = STRICT,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Leveled]:
    """Write the label volumes whose levels are to be corrected, each with the level that was given for certain.

    Args:
        decided: label volumes and what was decided about them, see :func:`~.decisions.decided_files`.
        scheme: what their values mean.
        out: folder for the corrected volumes; others are not written.
        reading: how files are read that leave something unsaid.
        force: replace what was corrected into ``out`` before.
        progress: wraps the volumes.

    Raises:
        UsageError: there is no level of a name that was given.
    """
    jobs = [(path, conditions(decision)) for path, decision in decided.items() if decision.verdict == "correct"]
    results: list[Leveled] = []
    for path, known in progress(jobs) if progress is not None else jobs:
        results += level_files([path], scheme, out, conditions=known, reading=reading, force=force)
    return results


def conditions(decision: Decision) -> Conditions:
    """Return what a decision says of the levels of a column.

    Raises:
        UsageError: there is no level of the name that was given.
    """
    if decision.point is None:
        return Conditions()
    return Conditions(clicks=(Click(check_level(decision.level), point=decision.point),))


def add_training_cases(
    decided: Mapping[Path, Decision],
    images: Path,
    scheme: LabelScheme,
    dataset: Path,
    *,
    by: str,
    reading: Reading = STRICT,
    progress: Progress | None = None,
) -> list[Added]:
    """Take label volumes that were accepted or corrected into a dataset, for training alone, marked as such.

    A case is called ``reviewed-<id>``, and ``corrected.csv`` says of each what it was made of, who decided what, and
    when it was taken in. Nothing that is there is written over. What was rejected, or not decided on, stays out.

    Args:
        decided: label volumes and what was decided about them, see :func:`~.decisions.decided_files`.
        images: folder of their images, found by case id.
        scheme: what the values of the label volumes mean; it has to be that of the dataset.
        dataset: in the layout of MRSpineSeg or nnU-Net, or a new folder, which gets the former.
        by: who decided.
        reading: how files are read that leave something unsaid.
        progress: wraps the cases.

    Raises:
        UsageError: it is not said who decided.
        DataError: the dataset has another layout, or a folder cannot be read.
        RunError: the dataset cannot be written, or holds what is not ours under our names.
    """
    if not by.strip():
        raise UsageError("say who decided (--by NAME): training cases without a reference need somebody to ask")
    nnunet = _is_nnunet(dataset)
    tests = _test_images(dataset)
    taken = {path: decision for path, decision in decided.items() if decision.verdict in ("accept", "correct")}
    paired = match_images(volume_files(images), list(taken)).items()
    jobs = [(key, image, label) for key, (image, label) in paired if label is not None]
    results = []
    with own_folder(dataset, "reviewed", "is taking reviewed cases into it", _OURS):
        for key, image, label in progress(jobs) if progress is not None else jobs:
            try:
                if image is None:
                    raise DataError(f"{label} has no image in {images}; only cases with one can be trained on")
                row = _add(key, image, label, taken[label], scheme, dataset, nnunet, tests, by, reading)
                _record(dataset, row)
                results.append(Added(label, dataset / str(row["mask"])))
            except Exception as error:  # whatever one file does to a library, the others are still taken in
                results.append(Added(label, error=reason(error, label)))
    return results


def _add(
    key: str,
    image: Path,
    label: Path,
    decision: Decision,
    scheme: LabelScheme,
    dataset: Path,
    nnunet: bool,
    tests: Mapping[str, Path],
    by: str,
    reading: Reading,
) -> dict[str, Any]:
    name = f"reviewed-{CHANNEL.sub('', key)}"
    suffix = volume_suffix(image) or ""
    ending = written_suffix(volume_suffix(label))
    if nnunet:
        image_to, mask_to = f"imagesTr/{name}_0000{suffix}", f"labelsTr/{name}{ending}"
    else:
        image_to, mask_to = f"train/source/{name}{suffix}", f"train/label/{name}{ending}"
    there = next((place for place in (image_to, mask_to) if (dataset / place).exists()), None)
    if there is not None:
        raise RunError(f"{dataset / there} is there already; remove it with its row in {RECORD} to take another")
    digest = volume_sha256(image)
    if digest in tests:
        raise DataError(f"{image} is {tests[digest]} of the dataset, a test case, which must not be trained on")
    if len(parts_of(image)) > 1:
        raise DataError(f"{image} has its voxels in a second file; convert it to .nii.gz")
    with tempfile.TemporaryDirectory() as folder:
        source = label
        if decision.verdict == "correct":
            (done,) = level_files([label], scheme, Path(folder), conditions=conditions(decision), reading=reading)
            if done.output is None or done.error is not None:
                raise DataError(done.error or f"{label} cannot be corrected")
            source = done.output
        mask = read_label(source, reading)
        scheme.to_indices(mask.array)
        aligned(mask, read_image(image, reading))
        write_label_like(dataset / mask_to, mask.array.astype("uint16"), mask)
    with write_atomically(dataset / image_to) as temporary:
        shutil.copyfile(image, temporary)
    x, y, z = decision.point or (None, None, None)
    return {
        "case": name,
        "image": image_to,
        "mask": mask_to,
        "image_sha256": digest,
        "mask_sha256": file_sha256(dataset / mask_to),
        "source": label.name,
        "source_sha256": decision.sha256,
        "scheme": scheme.name,
        "decision": decision.verdict,
        "level": decision.level,
        "x_mm": x,
        "y_mm": y,
        "z_mm": z,
        "remark": decision.remark,
        "decided_by": by,
        "added_on": datetime.now(timezone.utc).date().isoformat(),
        "use": USE,
    }


def _record(dataset: Path, row: Mapping[str, Any]) -> None:
    """Add a row to the record; what is there stays as it is."""
    path = dataset / RECORD
    try:
        former: Sequence[Mapping[str, Any]] = list(read_csv(path)) if path.exists() else []
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); mend it or move it away") from error
    rows = [[_figure(name, entry.get(name, "")) for name in _COLUMNS] for entry in [*former, row]]
    write_text(path, csv_text(_COLUMNS, rows))


def _figure(column: str, value: Any) -> Any:
    return float(value) if column.endswith("_mm") and value not in ("", None) else value


def _is_nnunet(dataset: Path) -> bool:
    if not dataset.is_dir() or not any(path.is_dir() for path in dataset.iterdir()):
        return False
    name = layout_of(dataset).value.name
    if name not in ("mrspineseg", "nnunet"):
        raise DataError(f"{dataset} has the layout {name}; reviewed cases go into those of MRSpineSeg and nnU-Net")
    return name == "nnunet"


def _test_images(dataset: Path) -> dict[str, Path]:
    """The dataset's test images by their SHA-256."""
    if not dataset.is_dir() or not any(path.is_dir() for path in dataset.iterdir()):
        return {}
    return {volume_sha256(path): path for path in image_files(dataset).get("test", [])}
