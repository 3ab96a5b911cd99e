"""Check the further contrasts of an exam against the image that gives its grid."""

from __future__ import annotations

from pathlib import Path

from spine_ignite.datasets.cases import Case, Problem
from spine_ignite.errors import DataError
from spine_ignite.volumes.contrasts import contrast_of, with_contrasts
from spine_ignite.volumes.digests import voxels_sha256
from spine_ignite.volumes.resampling import overlap
from spine_ignite.volumes.volume import Reading, Volume, read_image

_WHOLE = 0.99  # share of a field of view; if less of it is covered, that is told


def check_contrasts(
    case: Case, image: Volume, reading: Reading
) -> tuple[list[Problem], list[Problem], dict[Path, str]]:
    """Read the further contrasts of a case, and compare their fields of view with that of its image.

    Returns:
        What is wrong, what stops nothing, and the SHA-256 of the voxels of each that could be read.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    own = contrast_of(case.image, case.images) if case.contrasts else ""
    others: dict[str, Volume] = {}
    for name, path in case.contrasts:
        if name == own:
            continue
        try:
            other = read_image(path, reading)
            with_contrasts(image, own, {**others, name: other})
            others[name] = other
        except DataError as error:
            problems.append(Problem(case.id, path, str(error).removeprefix(f"{path} ")))
            continue
        share = overlap(other, image)
        if share < _WHOLE:
            message = (
                f"({name}) covers {100 * share:.0f} % of the field of view of {case.image.name}; the rest of it is as "
                "dark there as its darkest"
            )
            warnings.append(Problem(case.id, path, message))
    return problems, warnings, {other.path: voxels_sha256(other) for other in others.values()}
