"""Write the slices of a store as NIfTI files, for people who want files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from spine_ignite.files import write_atomically
from spine_ignite.ownership import Listed, own_folder
from spine_ignite.slices.store import SliceStore, StoredCase

_CONTENTS = (Listed("slice_(train|test)/(source|label)", r".+\.nii\.gz"),)


def export_nifti(store: SliceStore, folder: Path, progress: Callable[[Sequence[StoredCase]], Any] | None = None) -> int:
    """Write ``slice_train/source/Case1_1.nii.gz``, ``slice_train/label/mask_case1_1.nii.gz`` and so on.

    Each file holds one slice ``(columns, rows, 1)``, columns towards posterior and rows towards inferior, with the
    spacing of the store in mm; images are normalised, masks hold the scheme's values. Slices count from 1, from the
    patient's right. Of an exam each contrast is a file: ``Case1_1_t2.nii.gz``.

    Returns:
        The number of files written.

    Raises:
        RunError: the folder cannot be written, or holds slices of others.
    """
    with own_folder(folder, "slices", "is exporting into it", _CONTENTS):
        cases = progress(store.cases) if progress is not None else store.cases
        return sum(_write_case(store, case, folder / f"slice_{case.split}") for case in cases)


def _write_case(store: SliceStore, case: StoredCase, base: Path) -> int:
    spacing = (case.grid.spacing[1], case.grid.spacing[0], case.grid.slice_spacing)
    images, contrasts = store.image(case), store.settings.contrasts
    for number in range(case.num_slices):
        shown = zip(contrasts, images[number], strict=True) if contrasts else [("", images[number])]
        for contrast, plane in shown:
            name = f"{case.name}_{number + 1}{f'_{contrast}' if contrast else ''}"
            _write(base / "source" / f"{name}.nii.gz", plane.astype(np.float32), spacing)
        if case.label is not None:
            values = store.scheme.to_values(store.label(case)[number])
            _write(base / "label" / f"mask_{case.name.lower()}_{number + 1}.nii.gz", values, spacing)
    return case.num_slices * (max(1, len(contrasts)) + (case.label is not None))


def _write(path: Path, plane: NDArray[Any], spacing: tuple[float, float, float]) -> None:
    # Array axes (posterior, inferior, left) in RAS+ world axes.
    affine = np.array([[0, 0, -spacing[2], 0], [-spacing[0], 0, 0, 0], [0, -spacing[1], 0, 0], [0, 0, 0, 1]], float)
    image = nib.Nifti1Image(np.ascontiguousarray(plane.T[:, :, None]), affine)
    image.header.set_xyzt_units("mm")
    with write_atomically(path) as temporary:
        nib.save(image, temporary)
