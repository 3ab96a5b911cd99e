"""Write phantoms as a dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from spine_ignite.errors import UsageError
from spine_ignite.files import write_atomically
from spine_ignite.ownership import Listed, own_folder
from spine_ignite.phantom.acquisition import make_phantom
from spine_ignite.phantom.phantom_options import PhantomOptions
from spine_ignite.volumes.origin import PHANTOM

Job = tuple[int, int, int]
_CONTENTS = (Listed("(train|test)/(source|label)", r"(Case|mask_case)\d+\.nii\.gz"),)


def write_phantoms(
    root: str | PathLike[str],
    train: int,
    test: int,
    seed: int = 0,
    num_slices: int | None = None,
    progress: Callable[[Sequence[Job]], Any] | None = None,
    options: PhantomOptions = PhantomOptions(),  # noqa: B008 (frozen)
) -> None:
    """Write ``train`` + ``test`` cases in the MRSpineSeg layout; test cases go on counting after the training cases.

    A case depends on the seed, its split and its place in it and on the options, not on how many others there are.

    Raises:
        UsageError: there is nothing to write.
        RunError: the folder cannot be written, or holds cases of others.
    """
    if train < 0 or test < 0 or train + test == 0:
        raise UsageError(f"at least one case is needed, got {train} for training and {test} for test")
    root = Path(root)
    jobs = [(0, n, n + 1) for n in range(train)] + [(1, n, train + n + 1) for n in range(test)]
    with own_folder(root, "phantoms", "is writing phantoms into it", _CONTENTS):
        for split, number, name in progress(jobs) if progress is not None else jobs:
            phantom = make_phantom(seed, split, number, num_slices, options)
            folder = root / ("train", "test")[split]
            _write(folder / "source" / f"Case{name}.nii.gz", phantom.image, phantom.affine)
            _write(folder / "label" / f"mask_case{name}.nii.gz", phantom.label, phantom.affine)


def _write(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> None:
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = PHANTOM
    with write_atomically(path) as temporary:
        nib.save(image, temporary)
