"""Images of other libraries, in memory: taken as if they were read from a file, and labels given back in their kind.

A nibabel image, a SimpleITK image, or a pair of an array ``(I, J, K)`` and its affine (voxel indices to RAS+ mm). An
array alone says neither how it is oriented nor how large its voxels are, and is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the library's own abbreviation
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from spine_ignite.errors import DataError, UsageError
from spine_ignite.volumes import metaimage, nifti
from spine_ignite.volumes.headers import check_affine, spatial_shape
from spine_ignite.volumes.reader import Stored
from spine_ignite.volumes.volume import STRICT, Reading, Volume, as_image, as_label, as_stored, nifti_like


def is_in_memory(image: Any) -> bool:
    """Whether this is an image, and not the name of one: also one that is refused for what it lacks."""
    return isinstance(image, (SpatialImage, sitk.Image)) or _is_pair(image) or _is_array(image)


def image_in_memory(image: Any, name: str, reading: Reading = STRICT) -> Volume:
    """Return an image as :func:`.volume.read_image` does from its file.

    Args:
        image: of one of the three kinds.
        name: what messages call it.
        reading: what it leaves unsaid.

    Raises:
        UsageError: it is of another kind, an array without an affine for one.
        DataError: as for a file.
    """
    return as_image(_volume(image, name, np.float32, reading), reading)


def label_in_memory(image: Any, name: str, reading: Reading = STRICT) -> Volume:
    """Return a mask as :func:`.volume.read_label` does from its file; see :func:`image_in_memory`."""
    return as_label(_volume(image, name, None, reading))


def label_like(values: NDArray[Any], image: Any, volume: Volume) -> Any:
    """Return label values ``(I, J, K)`` in the kind of ``image``, on its grid.

    Args:
        values: what was found in ``volume``.
        image: a nibabel image gives a NIfTI image, a SimpleITK image one of its kind, and a pair the array alone.
        volume: what ``image`` was read as.
    """
    if isinstance(image, SpatialImage):
        return nifti_labels(values, volume)
    if isinstance(image, sitk.Image):
        found = sitk.GetImageFromArray(np.ascontiguousarray(values.transpose(2, 1, 0)))
        found.CopyInformation(_three_axes(image))
        return found
    return values


def nifti_labels(values: NDArray[Any], volume: Volume) -> Any:
    """Return label values ``(I, J, K)`` as a nibabel image that knows its affine, on the grid of a volume."""
    image = nifti_like(values, volume)
    return type(image)(image.dataobj, image.header.get_best_affine(), image.header)


def _volume(image: Any, name: str, dtype: Any, reading: Reading) -> Volume:
    path = Path(name)
    if isinstance(image, SpatialImage):
        stored = _of_nibabel(image, path, dtype)
    elif isinstance(image, sitk.Image):
        stored = _of_simpleitk(image, path, dtype)
    elif _is_pair(image):
        stored = Stored(_numbers(_as_array(image[0]), path, dtype), _affine(image[1], path))
    elif _is_array(image):
        raise UsageError(
            f"{name} is an array without an affine, which says neither how it is oriented nor how large its voxels "
            "are; give (array, affine), the affine from voxel indices to RAS+ mm, or a nibabel or SimpleITK image"
        )
    else:
        raise UsageError(
            f"{name} is neither a file nor an image: give a path, a nibabel or SimpleITK image, or (array, affine), "
            f"not {type(image).__name__}"
        )
    return as_stored(path, stored, reading)


def _of_nibabel(image: Any, path: Path, dtype: Any) -> Stored:
    header = image.header if isinstance(image, nib.Nifti1Image) else None  # the class of NIfTI-2 is derived from it
    affine = check_affine(path, image.affine) if image.affine is not None else None
    if affine is None:
        raise UsageError(f"{path} is a nibabel image without an affine; set it, from voxel indices to RAS+ mm")
    said = header is None or nifti.has_affine(header)
    if header is not None and not np.allclose(header.get_best_affine(), affine, rtol=1e-5, atol=1e-4):
        header, said = None, True  # the image was moved since its header was made, and what counts is where it is now
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused as that
        array = np.asanyarray(image.dataobj) if dtype is None else image.get_fdata(dtype=dtype, caching="unchanged")
    return Stored(_numbers(array, path, dtype), affine, said, header)


def _of_simpleitk(image: Any, path: Path, dtype: Any) -> Stored:
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise DataError(f"{path} has {image.GetNumberOfComponentsPerPixel()} components per voxel; one is needed")
    image = _three_axes(image)
    spatial_shape(path, tuple(image.GetSize()))
    array = sitk.GetArrayFromImage(image).T  # SimpleITK's arrays are (K, J, I)
    return Stored(_numbers(array, path, dtype), check_affine(path, metaimage.affine_of_image(image)))


def _three_axes(image: Any) -> Any:
    while image.GetDimension() > 3 and image.GetSize()[-1] == 1:
        image = image[(slice(None),) * (image.GetDimension() - 1) + (0,)]
    return image


def _numbers(array: NDArray[Any], path: Path, dtype: Any) -> NDArray[Any]:
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path} holds voxels of type {array.dtype}; numbers are needed")
    shape = spatial_shape(path, array.shape)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype).reshape(shape)


def _affine(value: Any, path: Path) -> NDArray[np.float64]:
    try:
        affine = np.asarray(_as_array(value), np.float64)
    except (TypeError, ValueError):
        affine = np.empty(0)
    if affine.shape != (4, 4) or not np.array_equal(affine[3], (0, 0, 0, 1)):
        raise UsageError(
            f"{path} is with something else than an affine; that is 4 x 4, from voxel indices to RAS+ mm, its last row "
            "0, 0, 0, 1"
        )
    return check_affine(path, affine)


def _is_array(image: Any) -> bool:
    return isinstance(image, np.ndarray) or (hasattr(image, "__array__") and hasattr(image, "shape"))


def _is_pair(image: Any) -> bool:
    return isinstance(image, tuple) and len(image) == 2 and _is_array(image[0]) and not _is_text(image[1])


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, Path))


def _as_array(value: Any) -> NDArray[Any]:
    detached = value.detach().cpu() if hasattr(value, "detach") else value  # a tensor of torch
    array: NDArray[Any] = np.asarray(detached)
    return array
