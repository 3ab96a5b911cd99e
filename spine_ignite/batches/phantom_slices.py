"""Small slices of phantoms, enough to see whether a network learns."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spine_ignite.labels import load_scheme
from spine_ignite.phantom.acquisition import make_phantom
from spine_ignite.slices.normalise import normalise
from spine_ignite.volumes.geometry import SliceGrid

TISSUES = ("background", "sacrum", "vertebra", "disc")


def make_slices(count: int = 4, size: int = 64, spacing: float = 1.25, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return the middle slices of ``count`` phantoms around L5, with four classes: background, sacrum, vertebra, disc.

    Args:
        count: number of phantoms.
        size: rows and columns.
        spacing: mm of a pixel.
        seed: of the phantoms.

    Returns:
        Images ``(count, 1, size, size)``, normalised, and labels ``(count, size, size)`` of class indices.
    """
    scheme = load_scheme("mrspineseg")
    tissue = np.array([TISSUES.index(c.kind) for c in scheme.classes], np.uint8)
    images, labels = [], []
    for number in range(count):
        phantom = make_phantom(seed, 0, number, num_slices=3)
        grid = SliceGrid.from_geometry(phantom.image.shape, phantom.affine, (spacing, spacing))
        image = normalise(grid.image_to_slices(phantom.image), (0.5, 99.5))[1]
        label = grid.label_to_slices(scheme.to_indices(phantom.label))[1]
        centre = np.argwhere(label == scheme.names.index("L5")).mean(0)
        top, left = (int(np.clip(c - size // 2, 0, n - size)) for c, n in zip(centre, image.shape, strict=True))
        window = slice(top, top + size), slice(left, left + size)
        images.append(torch.from_numpy(image[window].copy()))
        labels.append(torch.from_numpy(tissue[label[window]]))
    return torch.stack(images)[:, None], torch.stack(labels)
