from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from spine_ignite.errors import DataError
from spine_ignite.volumes.contrasts import contrasts_sha256, with_contrasts
from spine_ignite.volumes.metaimage import affine_of_image
from spine_ignite.volumes.resampling import overlap, resampled
from spine_ignite.volumes.volume import Volume


def affine_of(
    spacing: tuple[float, float, float], origin: tuple[float, float, float], degrees: float = 0.0
) -> NDArray[np.float64]:
    """A turn about the first world axis, which sagittal slices are stacked along."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


def places(shape: tuple[int, ...], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """World coordinates ``(I, J, K, 3)`` of the centres of voxels."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return grid @ affine[:3, :3].T + affine[:3, 3]


def bumps(world: NDArray[np.float64]) -> NDArray[np.float32]:
    x, y, z = np.moveaxis(world, -1, 0)
    return (100 + 40 * np.sin(y / 9) * np.cos(z / 11) + x).astype(np.float32)


def volume(shape: tuple[int, ...], affine: NDArray[np.float64], name: str) -> Volume:
    return Volume(bumps(places(shape, affine)), affine, Path(f"{name}.nii.gz"))


def test_an_image_on_another_grid_is_the_same_image_there() -> None:
    reference = volume((6, 60, 50), affine_of((4, 0.8, 0.9), (-10, -20, -15)), "t1")
    other = volume((8, 70, 64), affine_of((3.3, 0.9, 0.85), (-11.5, -27, -22), 7), "t2")
    found = resampled(other, reference)
    inside = np.ones(found.array.shape, bool) if found.outside is None else ~found.outside
    assert found.array.shape == reference.array.shape
    np.testing.assert_array_equal(found.affine, reference.affine)
    assert inside.mean() > 0.9
    # The analytic image; linear interpolation is off by the square of the voxel over eight, times the curvature.
    np.testing.assert_allclose(found.array[inside], reference.array[inside], atol=0.7)


def test_axes_in_another_order_are_brought_back_without_resampling() -> None:
    reference = volume((5, 20, 16), affine_of((4, 1, 1), (0, 0, 0)), "t1")
    turned = reference.array.transpose(2, 0, 1)[::-1]
    affine = reference.affine[:, [2, 0, 1, 3]].copy()
    affine[:, 3] += affine[:, 0] * 15
    affine[:, 0] *= -1
    found = resampled(Volume(turned, affine, Path("t2.nii.gz")), reference)
    np.testing.assert_array_equal(found.array, reference.array)
    assert found.outside is None


def test_what_lies_outside_is_marked_and_fields_of_view_are_compared() -> None:
    reference = volume((5, 40, 40), affine_of((4, 1, 1), (0, 0, 0)), "t1")
    half = volume((5, 40, 40), affine_of((4, 1, 1), (0, 0, 10)), "t2")  # ten of forty voxels towards the head
    found = resampled(half, reference)
    assert found.outside is not None
    np.testing.assert_array_equal(found.outside, np.arange(40)[None, None, :] < 10 + np.zeros((5, 40, 1)))
    assert overlap(half, reference) == pytest.approx(0.75)
    assert with_contrasts(reference, "t1", {"t2": half}).others["t2"] is half
    far = volume((5, 40, 40), affine_of((4, 1, 1), (0, 0, 30)), "t2")
    with pytest.raises(DataError) as error:
        with_contrasts(reference, "t1", {"t2": far})
    assert str(error.value) == (
        "t2.nii.gz (t2) covers 25 % of the field of view of t1.nii.gz (t1), and 50 % are needed; check that both are "
        "of one exam and that their headers say where they lie"
    )


def test_simpleitk_puts_the_voxels_at_the_same_places() -> None:
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.normal(size=(9, 30, 34)).astype(np.float32))
    image.SetSpacing((0.9, 1.1, 4.0))
    image.SetOrigin((3.0, -2.0, 5.0))
    image.SetDirection((0.0, 0.0, 1.0, 0.98, -0.19899749, 0.0, 0.19899749, 0.98, 0.0))
    target = sitk.Image((30, 28, 8), sitk.sitkFloat32)
    target.SetSpacing((1.0, 1.0, 4.0))
    target.SetOrigin((5.0, 0.0, 6.0))
    target.SetDirection(image.GetDirection())
    expected = sitk.Resample(image, target, sitk.Transform(), sitk.sitkLinear, -99.0)
    other = Volume(sitk.GetArrayFromImage(image).T, affine_of_image(image), Path("t2.mha"))
    reference = Volume(sitk.GetArrayFromImage(target).T, affine_of_image(target), Path("t1.mha"))
    found, wanted = resampled(other, reference), sitk.GetArrayFromImage(expected).T
    inside = wanted != -99
    assert inside.mean() > 0.7
    # Larger voxels along one axis (1.0 of 0.9 mm) average over them, which SimpleITK does not.
    np.testing.assert_allclose(np.corrcoef(found.array[inside], wanted[inside])[0, 1], 1, atol=0.02)
    equal = Volume(other.array, other.affine @ np.diag([1.0 / 0.9, 1.0 / 1.1, 1.0, 1.0]), Path("t2.mha"))
    image.SetSpacing((1.0, 1.0, 4.0))
    expected = sitk.Resample(image, target, sitk.Transform(), sitk.sitkLinear, -99.0)
    wanted = sitk.GetArrayFromImage(expected).T
    found, inside = resampled(equal, reference), wanted != -99
    np.testing.assert_allclose(found.array[inside], wanted[inside], atol=1e-4)
    outside = found.outside if found.outside is not None else np.zeros(found.array.shape, bool)
    assert not (outside & inside).any()


def test_the_digest_of_an_exam_tells_each_of_its_images_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    alone = contrasts_sha256(one, {})
    both = contrasts_sha256(one, {"t1": one, "t2": two})
    assert len({alone, both, contrasts_sha256(one, {"t1": one}), contrasts_sha256(one, {"t2": one, "t1": two})}) == 4
    two.write_bytes(b"3")
    assert contrasts_sha256(one, {"t1": one, "t2": two}) != both
