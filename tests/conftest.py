"""Fixtures that several test modules share: small volumes and datasets, written to a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

Writer = Callable[..., Path]


def _affine(axes: str, spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """RAS+ affine of a volume whose axes point towards e.g. P, S and R."""
    ornt = nib.orientations.axcodes2ornt(tuple(axes))
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(ornt):
        affine[int(world), axis] = sign * spacing[axis]
    affine[:3, 3] = (-10.0, 20.0, 30.0)
    return affine


@pytest.fixture(scope="session")
def write_volume() -> Writer:
    """``write_volume(path, array, spacing=(1, 1, 4), axes="PSR")`` writes a NIfTI file and returns its path."""

    def write(
        path: Path,
        array: NDArray[np.generic],
        spacing: tuple[float, float, float] = (1, 1, 4),
        axes: str = "PSR",
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(array, _affine(axes, spacing))
        image.header.set_xyzt_units("mm")
        nib.save(image, path)
        return path

    return write


@pytest.fixture
def tiny_dataset(tmp_path: Path, write_volume: Writer) -> Path:
    """A dataset of 4 training and 2 test cases, 48 x 64 x 5 voxels, with the values 0, 2, 3 and 4 (L5, L4, L3).

    The classes are blocks stacked from foot to head on a noisy ramp, so that a network can learn them.
    """
    root = tmp_path / "dataset"
    rng = np.random.default_rng(0)
    for number in range(1, 7):
        split = "train" if number <= 4 else "test"
        label = np.zeros((48, 64, 5), np.uint8)
        shift = int(rng.integers(-3, 4))
        for k, value in enumerate((2, 3, 4)):
            low = 8 + 17 * k + shift
            label[14:34, low : low + 13, 1:4] = value
        image = 100 * (label > 0) + 20 * label + rng.normal(0, 5, label.shape) + np.linspace(0, 40, 64)[None, :, None]
        write_volume(root / split / "source" / f"Case{number}.nii.gz", image.astype(np.int16))
        write_volume(root / split / "label" / f"mask_case{number}.nii.gz", label)
    return root
