"""What is recorded beside a label volume: of which image it is, how it was made, and what tells that it is whole.

The record ``<name>.json`` is written before the volume gets its name, with the SHA-256 of the volume that is to come
and of the one that it replaces. So a process that is killed at any moment leaves a volume that its record vouches for,
or one that is known not to be done. A segmentation in DICOM, which people correct as well, gets its name after the
volume, and the record has the SHA-256 of the one of ours that was there before, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spine_ignite.datasets.volume_files import volume_files
from spine_ignite.errors import DataError, RunError
from spine_ignite.files import write_text
from spine_ignite.inference.levels.record import is_levels_file
from spine_ignite.volumes.digests import file_sha256
from spine_ignite.volumes.reader import volume_stem, volume_suffix
from spine_ignite.volumes.volume import Reading, read_label

_ELSEWHERE = "predict into another folder, or without --skip-existing"
_REMOVE = "predict into another folder, or remove it"


def record_file(output: Path) -> Path:
    """Return the file beside a label volume that says how it was made."""
    return output.with_name(f"{volume_stem(output)}.json")


def write_record(
    output: Path,
    complete: Path,
    maps: Mapping[str, Path],
    made: Mapping[str, Any],
    kept: Mapping[str, Path] | None = None,
) -> None:
    """Record how a label volume was made, just before it gets its name.

    Args:
        output: its name.
        complete: the file that will be renamed to it.
        maps: what was written besides.
        made: what else there is to say; ``image_sha256`` and the predictor's settings are compared later.
        kept: where files are that :func:`require_as_written` is asked about, now or by a later prediction.

    Raises:
        RunError: the record cannot be written.
    """
    hashes = {
        "labels_sha256": file_sha256(complete),
        "replaces_sha256": file_sha256(output) if output.is_file() else None,
        "maps_sha256": {kind: file_sha256(path) for kind, path in maps.items()},
        "former_maps_sha256": {kind: _as_written(output, kind, path) for kind, path in (kept or {}).items()},
    }
    write_text(record_file(output), json.dumps({**made, **hashes}, indent=2) + "\n")


def is_done(output: Path, image_sha256: str, settings: Mapping[str, Any], maps: Mapping[str, Path]) -> bool:
    """Say whether a label volume is there, whole, of this image, and made in this way.

    Args:
        output: the volume.
        image_sha256: of the image.
        settings: of the predictor.
        maps: what is wanted besides.

    Returns:
        False if it has to be made: it is not there, or a kill, a full disk or the like left it unfinished or damaged.

    Raises:
        RunError: there is another volume, which this prediction would replace.
    """
    made = require_replaceable(output)
    if made is None or not output.is_file():
        return False
    if not _of_this_version(made):
        raise RunError(f"the record of {output} is of an older version and does not tell of which image; {_ELSEWHERE}")
    if file_sha256(output) != made["labels_sha256"]:
        return False
    if made["image_sha256"] != image_sha256:
        raise RunError(
            f"{output} is of another image than this one, or of an earlier version of it ({made['image']}); "
            f"{_ELSEWHERE}"
        )
    differing = [name for name, value in _compared(settings).items() if _compared(made).get(name) != value]
    if differing:
        raise RunError(
            f"{output} was made in another way ({', '.join(differing)}: see {record_file(output).name}); {_ELSEWHERE}"
        )
    kept = made["maps_sha256"]
    return all(path.is_file() and kept.get(kind) == file_sha256(path) for kind, path in maps.items())


def require_replaceable(output: Path) -> dict[str, Any] | None:
    """Refuse to write over what is not ours: labels of another tool, and those that were corrected by hand.

    Args:
        output: the label volume that is to be made.

    Returns:
        The record of what is there; None without one.

    Raises:
        RunError: the volume or its record is not ours, or was changed since it was made.
    """
    file = record_file(output)
    made = _read(output)
    if made is None and file.exists():
        raise RunError(f"{file} is in the way of the record of {output.name}, and is none; {_REMOVE}")
    if not output.is_file():
        return made
    if made is None:
        raise RunError(f"{output} has no record of how it was made ({file.name}), as what is ours has; {_REMOVE}")
    if _of_this_version(made):
        known = (made["labels_sha256"], made["replaces_sha256"])
        if file_sha256(output) not in known and _is_readable(output):
            raise RunError(f"{output} was changed after it was made, by hand for all that is known; {_REMOVE}")
    return made


def require_as_written(output: Path, kind: str, path: Path) -> None:
    """Refuse to write over a file beside a label volume that is not as a prediction wrote it.

    Args:
        output: the label volume.
        kind: of the file, ``dicom-seg`` for one.
        path: the file, which need not be there.

    Raises:
        RunError: it was changed since, or no record tells of it.
    """
    if path.exists() and _as_written(output, kind, path) is None:
        raise RunError(f"{path} is not as predict wrote it, corrected by hand for all that is known; move it away")


def _as_written(output: Path, kind: str, path: Path) -> str | None:
    """The SHA-256 of a file beside a label volume if the record has it; of this prediction, or of one before."""
    made = _read(output) or {}
    said = [made.get("maps_sha256"), made.get("former_maps_sha256")]
    known = [hashes.get(kind) for hashes in said if isinstance(hashes, dict)]
    digest = file_sha256(path) if path.is_file() else None
    return digest if digest in known else None


def record_of(output: Path) -> dict[str, Any] | None:
    """Return how a label volume was made; None if that is not known, or it was changed since."""
    made = _read(output)
    if made is None or not output.is_file() or not _of_this_version(made):
        return None
    return made if file_sha256(output) == made["labels_sha256"] else None


def exam_recorded(output: Path) -> tuple[str, ...]:
    """Return the names of the images of the exam that a label volume is of, that which gives its grid first.

    None at all for a label volume without a record, or of an image that is a case of its own.
    """
    made = _read(output) or {}
    contrasts = made.get("contrasts")
    if not isinstance(contrasts, dict) or not contrasts:
        return ()
    files = [str(made["image"]), *(str(item.get("image", "")) for item in contrasts.values() if isinstance(item, dict))]
    return tuple(dict.fromkeys(Path(file).name for file in files))


def vouches_for(output: Path, kind: str, path: Path) -> bool:
    """Whether a label volume is as it was made, and a file beside it, ``levels`` for one, as it was written with it."""
    made = record_of(output)
    return made is not None and path.is_file() and made["maps_sha256"].get(kind) == file_sha256(path)


def record_anew(output: Path, kind: str, path: Path) -> None:
    """Record that a file beside a label volume was written again.

    Raises:
        RunError: the record cannot be written.
    """
    made = _read(output)
    if made is not None:
        made["maps_sha256"][kind] = file_sha256(path)
        write_text(record_file(output), json.dumps(made, indent=2) + "\n")


def is_made_by_hand(path: Path) -> bool:
    """Whether a file among predictions is not ours: labels of another tool or corrected ones, what is no record."""
    if volume_suffix(path) is not None:
        try:
            require_replaceable(path)
        except RunError:
            return True
        return False
    if is_levels_file(path):
        return False
    beside = [other for other in volume_files(path.parent) if record_file(other) == path]
    no_record = _read(path.with_name(f"{path.stem}.nii.gz")) is None
    return no_record or any(is_made_by_hand(other) for other in beside)


def _read(output: Path) -> dict[str, Any] | None:
    """Return the record of a volume; None if there is none, or something else in its place."""
    try:
        made: dict[str, Any] = json.loads(record_file(output).read_text(encoding="utf-8"))
        return made if _compared(made) and "image" in made else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _of_this_version(made: Mapping[str, Any]) -> bool:
    """Whether a record says all that is compared; those of older versions do not."""
    hashes = [made.get(f"{what}_sha256") for what in ("image", "labels")]
    kept = isinstance(made.get("maps_sha256"), dict) and "replaces_sha256" in made
    return kept and all(isinstance(value, str) for value in hashes)


def _is_readable(path: Path) -> bool:
    try:
        read_label(path, Reading("any"))
    except DataError:
        return False
    return True


def _compared(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a difference: all but where the runs are."""
    members = settings["members"]
    compared = {name: [member[name] for member in members] for name in ("weights", "views", "window", "overlap")}
    reading = {"orientation": settings.get("orientation"), "nan": settings.get("nan", "refuse")}
    more = {name: settings.get(name) for name in ("naming", "certificate")}
    return {**compared, **reading, "postprocess": settings["postprocess"], **more}
