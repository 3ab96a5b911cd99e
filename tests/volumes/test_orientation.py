from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from spine_ignite.config import parse_config
from spine_ignite.errors import DataError, UsageError
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.slices.normalise import prepare_image
from spine_ignite.volumes.orientation import affine_of, is_placeholder, orientation_of
from spine_ignite.volumes.volume import Reading, read_geometry, read_image, read_label, write_label_like

Writer = Callable[..., Path]
ORIENTATIONS = [
    "".join(codes) for order in itertools.permutations(("RL", "AP", "SI")) for codes in itertools.product(*order)
]
ARRAY = np.random.default_rng(0).integers(0, 900, (9, 12, 4)).astype(np.int16)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_orientation_gives_an_affine_and_the_affine_the_orientation(orientation: str) -> None:
    affine = affine_of(orientation, np.array([0.7, 0.8, 4.0]))
    assert orientation_of(affine) == orientation
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), [0.7, 0.8, 4.0])
    assert is_placeholder(affine) == (orientation in ("RAS", "LPS")), "what libraries write without being told"
    affine[0, 3] = -3.5
    assert not is_placeholder(affine), "a scanner has placed it"


def by_nibabel(path: Path, affine: NDArray[Any], codes: int) -> Path:
    image = nib.Nifti1Image(ARRAY, affine)
    image.set_qform(affine, codes)
    image.set_sform(affine, codes)
    nib.save(image, path.with_suffix(".nii"))
    return path.with_suffix(".nii")


def by_itk(path: Path, suffix: str) -> Path:
    image = sitk.GetImageFromArray(ARRAY.T)
    image.SetSpacing((0.7, 0.7, 4.0))
    sitk.WriteImage(image, str(path.with_suffix(suffix)))
    return path.with_suffix(suffix)


def without_directions(path: Path) -> Path:
    """A MetaImage with an offset, but no TransformMatrix."""
    head = "ObjectType = Image\nNDims = 3\nOffset = 5 6 7\nElementSpacing = 0.7 0.7 4\nDimSize = 9 12 4\n"
    path = path.with_suffix(".mha")
    path.write_bytes(f"{head}ElementType = MET_SHORT\nElementDataFile = LOCAL\n".encode() + ARRAY.tobytes(order="F"))
    return path


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda path: by_nibabel(path, np.eye(4), 2), "its affine is the spacing alone"),
        (lambda path: by_nibabel(path, np.diag([0.7, 0.7, 4, 1]), 1), "its affine is the spacing alone"),
        (lambda path: by_nibabel(path, affine_of("PSR", np.ones(3)), 0), "its header has no affine"),
        (lambda path: by_itk(path, ".nii"), "its affine is the spacing alone"),
        (lambda path: by_itk(path, ".mha"), "its affine is the spacing alone"),
        (without_directions, "its header has no affine"),
    ],
)
def test_a_file_that_does_not_say_how_it_is_oriented_is_refused_or_told(
    tmp_path: Path, write: Callable[[Path], Path], why: str
) -> None:
    path = write(tmp_path / "x")
    for read in (read_image, read_label, read_geometry):
        with pytest.raises(DataError, match=rf"{path.name} does not say how it is oriented \({why}\); say where"):
            read(path)
    volume = read_image(path, Reading("PSR"))
    np.testing.assert_array_equal(volume.array, ARRAY)
    assert orientation_of(volume.affine) == "PSR"
    np.testing.assert_array_equal(read_geometry(path, Reading("PSR"))[1], volume.affine)
    stored = read_image(path, Reading("any"))
    for affine in (volume.affine, stored.affine):
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        assert spacing.tolist() in ([1, 1, 1], pytest.approx([0.7, 0.7, 4]))
    # What is written lies where other programs put the image, right or wrong.
    out = tmp_path / f"out{path.suffix}"
    write_label_like(out, ARRAY, volume)
    np.testing.assert_allclose(read_label(out, Reading("any")).affine, stored.affine, atol=1e-6)


def test_files_that_say_it_keep_their_orientation(tmp_path: Path, write_volume: Writer) -> None:
    path = write_volume(tmp_path / "x.nii.gz", ARRAY, axes="LIP")
    assert orientation_of(read_image(path, Reading("PSR")).affine) == "LIP"


@pytest.mark.parametrize("value", ["PS", "PSRR", "PSP", "XYZ", "", "PAR"])
def test_what_is_no_orientation_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="data.orientation: must be where the three axes point to, such as PSR"):
        parse_config({"data": {"orientation": value}})
    with pytest.raises(UsageError, match="the orientation must be where the three axes point to"):
        InferenceOptions(orientation=value)
    assert InferenceOptions(orientation="psr").orientation == "PSR"


def test_nan_outside_the_field_of_view_counts_as_border_if_that_is_said(tmp_path: Path, write_volume: Writer) -> None:
    """The slices are those of the same image with any constant there, whichever rule for borders holds."""
    rng = np.random.default_rng(0)
    image = rng.normal(100, 20, (60, 70, 4)).astype(np.float32)
    rows, columns = np.mgrid[:60, :70]
    outside = (rows - 29.5) ** 2 + (columns - 34.5) ** 2 > 30**2
    image[outside] = np.nan
    path = write_volume(tmp_path / "x.nii.gz", image)
    with pytest.raises(DataError, match=r"holds 5488 NaN voxels; .*--nan border"):
        read_image(path)
    volume = read_image(path, Reading(nan="border"))
    assert np.isfinite(volume.array).all(), "pictures are drawn of it too"
    filled = read_image(write_volume(tmp_path / "y.nii.gz", np.where(np.isnan(image), np.float32(-500), image)))
    for spacing in ((1.0, 1.0), (1.3, 1.3)):
        expected, grid = prepare_image(filled, spacing, (0.5, 99.5), "inside")
        found, same = prepare_image(volume, spacing, (0.5, 99.5), "inside")
        assert same == grid
        np.testing.assert_allclose(found, expected, atol=1e-5)
    old, _ = prepare_image(volume, (1.0, 1.0), (0.0, 100.0), "all")
    assert old.shape == (4, 70, 60)
    assert old[np.broadcast_to(~outside.T[::-1], old.shape)].mean() == pytest.approx(0, abs=0.02)


def test_an_image_of_nothing_but_nan_is_refused(tmp_path: Path, write_volume: Writer) -> None:
    path = write_volume(tmp_path / "x.nii.gz", np.full((4, 5, 6), np.nan, np.float32))
    with pytest.raises(DataError, match="holds nothing but NaN"):
        read_image(path, Reading(nan="border"))
