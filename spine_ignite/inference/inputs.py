"""Which files a prediction reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spine_ignite.data.cases import find_cases, volume_files
from spine_ignite.data.volumes import volume_stem, volume_suffix
from spine_ignite.errors import DataError, UsageError


def collect_jobs(inputs: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Pair every input volume with the label volume to write in ``out``.

    An input is a file, a folder of volumes, or a dataset (its test cases, or all if it has none). The output has the
    input's name; ``.mhd`` becomes ``.mha``.

    Raises:
        DataError: an input is missing or holds no volumes.
        UsageError: an output would overwrite its input, or two inputs have the same output, suffix aside.
    """
    sources: list[Path] = []
    for path in inputs:
        sources += _volumes(path)
    jobs: dict[Path, Path] = {}
    stems: dict[str, Path] = {}  # what lies beside a label volume has its name without the suffix
    for source in sources:
        suffix = ".mha" if volume_suffix(source) == ".mhd" else volume_suffix(source)
        output = out / f"{volume_stem(source)}{suffix}"
        if output.resolve() == source.resolve():
            raise UsageError(f"the prediction of {source} would overwrite it; choose another output folder")
        other = stems.setdefault(volume_stem(source), source)
        if other.resolve() != source.resolve():
            raise UsageError(f"{other} and {source} would both be written to {output}; predict them into two folders")
        jobs[output] = source
    return [(source, output) for output, source in jobs.items()]


def _volumes(path: Path) -> list[Path]:
    if path.is_file():
        if volume_suffix(path) is None:
            raise DataError(f"{path} is not a volume; .nii, .nii.gz, .mha and .mhd are read")
        return [path]
    if not path.is_dir():
        raise DataError(f"input {path} does not exist")
    files = volume_files(path)
    if files:
        return files
    try:
        dataset, _ = find_cases(path)
    except DataError:
        raise DataError(f"folder {path} holds neither volumes nor a dataset") from None
    return [case.image for case in (dataset.split("test") or dataset.cases)]
