"""The one path from the images of an exam to the slices that a network sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spine_ignite.config.data import BorderRule
from spine_ignite.errors import DataError, UsageError
from spine_ignite.slices.normalise import normalised_slices, prepare_image
from spine_ignite.volumes.geometry import SliceGrid
from spine_ignite.volumes.resampling import resampled
from spine_ignite.volumes.volume import Volume


def prepare(
    volume: Volume,
    contrasts: Sequence[str],
    spacing: tuple[float, float],
    clip_percentiles: tuple[float, float],
    border: BorderRule = "inside",
    keep: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], SliceGrid]:
    """Turn the images of an exam into normalised slices at the common spacing, and the grid to go back.

    Preprocessing and prediction both come through here, so that they cannot differ. Further contrasts are resampled to
    the grid of the first image; each is normalised by itself. One that is missing is 0 everywhere, the mean of others.

    Args:
        volume: the image, with its further contrasts.
        contrasts: that the network sees, in this order; none: it sees the image alone, whatever that is.
        spacing: of the slices (rows, columns), in mm.
        clip_percentiles: see :func:`.normalise.normalise`.
        border: see :func:`.normalise.prepare_image`.
        keep: voxels ``(I, J, K)`` of the image that are not cropped.

    Returns:
        The slices, ``(S, H, W)`` without contrasts, else ``(S, contrasts, H, W)``.

    Raises:
        DataError: the volume's geometry cannot be used.
        UsageError: none of the contrasts is there, or it is not said which one the image is.
    """
    require_contrasts(volume, contrasts)
    slices, grid = prepare_image(volume, spacing, clip_percentiles, border, keep)
    if not contrasts:
        return slices, grid
    planes = np.zeros((len(slices), len(contrasts), *slices.shape[1:]), np.float32)
    for place, name in enumerate(contrasts):
        if name == volume.contrast:
            planes[:, place] = slices
        elif name in volume.others:
            other = resampled(volume.others[name], volume)
            planes[:, place] = normalised_slices(other, grid, clip_percentiles, border)
    return planes, grid


def require_contrasts(volume: Volume, contrasts: Sequence[str]) -> None:
    """Refuse an image of which a network's contrasts cannot be told.

    Raises:
        DataError: none of its contrasts is there.
        UsageError: the network sees one image, or it is not said which of its contrasts this is.
    """
    known = ", ".join(contrasts)
    if not contrasts:
        if volume.others:
            raise UsageError(
                f"the network sees one image and not several contrasts; give {volume.path} alone, without "
                f"{', '.join(volume.others)}"
            )
        return
    if not volume.contrast:
        raise UsageError(
            f"the network sees the contrasts {known}, and it is not said which one {volume.path} is; let the names of "
            f"files end in _{contrasts[0]} and so on, or say it, as in --contrast {contrasts[0]}={volume.path.name}"
        )
    if not {volume.contrast, *volume.others} & set(contrasts):
        found = ", ".join([volume.contrast, *volume.others])
        raise DataError(f"{volume.path} is {found}, and the network sees the contrasts {known}; give one of these")
