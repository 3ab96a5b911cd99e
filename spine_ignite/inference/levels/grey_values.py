"""Grey values of a column's structures beside each other, noise, and whether outlines follow the edges of the image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_ignite.inference.levels.column import Column
from spine_ignite.inference.levels.pieces import Box
from spine_ignite.volumes.geometry import sagittal_axis

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
_AROUND = 25.0  # mm around what is labelled that are looked at
_STEP = 2.0  # mm between points whose grey values are compared across an outline
_MOST_VALUES = 200_000  # of the whole image that are looked at
_RIM = 2.0  # mm of a vertebra's edge that hold its cortical bone


def grey_traits(column: Column, image: NDArray[np.generic]) -> dict[str, float]:
    """Return what grey values say, in units of the spread of the image around the column.

    Args:
        column: as it was named.
        image: grey values ``(I, J, K)``.
    """
    return dict(_traits(column, image))


def _traits(column: Column, image: NDArray[np.generic]) -> Iterator[tuple[str, float]]:
    axis = sagittal_axis(column.found.affine)
    spacing = np.linalg.norm(column.found.affine[:3, :3], axis=0)
    box = _around(column.found.box, column.indices.shape, spacing, axis)
    grey = np.moveaxis(np.asarray(image[box], np.float32), axis, 0)
    labels = np.moveaxis(column.indices[box], axis, 0)
    in_plane = np.delete(spacing, axis)
    dark, low, high, bright = np.quantile(grey, [0.01, 0.05, 0.95, 0.99])
    spread = float(high - low)
    kinds = {kind: np.isin(labels, _indices(column, kind)) for kind in ("vertebra", "disc", "sacrum", "canal")}
    bodies = kinds.pop("vertebra")
    if not bodies.any() or spread <= 0:
        yield "edges", 0.0
        return
    body = float(np.median(grey[bodies]))
    for kind, mask in kinds.items():
        if mask.any():
            yield f"grey_{kind}", (float(np.median(grey[mask])) - body) / spread
    yield "grey_around", (float(np.median(grey[labels == 0])) - body) / spread if (labels == 0).any() else 0.0
    yield "grey_middle", middle_of_range(image)
    yield "grey_dark", (float(dark) - body) / spread
    yield "grey_bright", (float(bright) - body) / spread
    inner = _eroded(bodies, in_plane)
    if inner.any():
        yield "cortex", (float(np.median(grey[bodies & ~inner])) - float(np.median(grey[inner]))) / spread
    within, across = _steps(grey, bodies, labels == 0, in_plane)
    if len(within) and len(across):
        yield "noise", float(np.median(_neighbours(grey, bodies))) / spread
        yield "edges", float(np.log((across.mean() + 1e-6 * spread) / (within.mean() + 1e-6 * spread)))


def middle_of_range(image: NDArray[np.generic]) -> float:
    """Return where the median of a whole image lies between its darkest and brightest hundredth, 0 to 1.

    Low in magnetic resonance, where much is air or dark and little is bright; not so where values are inverted, or are
    those of computed tomography.
    """
    every = image.reshape(-1)[:: 1 + image.size // _MOST_VALUES].astype(np.float32)
    dark, middle, bright = np.quantile(every, [0.01, 0.5, 0.99])
    return float((middle - dark) / max(bright - dark, 1e-9))


def _around(box: Box, shape: tuple[int, ...], spacing: NDArray[np.float64], axis: int) -> Box:
    """Return a box with its surroundings in the sagittal plane."""
    wide = [0 if a == axis else int(np.ceil(_AROUND / spacing[a])) for a in range(3)]
    i, j, k = (
        slice(max(0, part.start - more), min(size, part.stop + more))
        for part, more, size in zip(box, wide, shape, strict=True)
    )
    return i, j, k


def _indices(column: Column, kind: str) -> list[int]:
    return [c.index for c in column.scheme.classes if c.kind == kind or (kind == "canal" and c.kind == "cord")]


def _eroded(mask: Bools, spacing: NDArray[np.float64]) -> Bools:
    """Return what lies deeper than the rim, in each slice ``(S, H, W)``."""
    rows, columns = (max(1, round(_RIM / mm)) for mm in spacing)
    inner: Bools = ndimage.minimum_filter(mask, (1, 2 * rows + 1, 2 * columns + 1), mode="constant", cval=0)
    return inner


def _steps(grey: Floats, bodies: Bools, outside: Bools, spacing: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Return differences of grey values some mm apart: between voxels of bodies, and from these to unlabelled ones."""
    within, across = [], []
    for axis, mm in zip((1, 2), spacing, strict=True):
        far = max(1, round(_STEP / mm))
        if grey.shape[axis] <= far:
            continue
        near, other = (_part(axis, None, -far), _part(axis, far, None))
        step = np.abs(grey[other] - grey[near])
        within.append(step[bodies[near] & bodies[other]])
        across.append(step[(bodies[near] & outside[other]) | (outside[near] & bodies[other])])
    nothing = np.zeros(0, np.float32)
    return np.concatenate([nothing, *within]), np.concatenate([nothing, *across])


def _neighbours(grey: Floats, bodies: Bools) -> Floats:
    """Return how far voxels inside bodies differ from the mean of the two beside them in a row."""
    middle = bodies[..., 2:] & bodies[..., 1:-1] & bodies[..., :-2]
    if not middle.any():
        return np.zeros(1, np.float32)
    apart: Floats = np.abs(grey[..., 1:-1] - (grey[..., 2:] + grey[..., :-2]) / 2)[middle]
    return apart


def _part(axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    return tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))
