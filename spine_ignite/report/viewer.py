"""The volumes of the interactive viewer, as they are put into the page."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from spine_ignite.labels import LabelScheme
from spine_ignite.report.extremes import ShownCase

NIIVUE = "0.69.0"  # the version in vendor/


@dataclass(frozen=True, slots=True)
class Block:
    """A volume as a gzipped NIfTI file in base64, under the id of its element in the page."""

    id: str
    base64: str

    @property
    def megabytes(self) -> float:
        """What it takes in the page."""
        return len(self.base64) / 1e6


@dataclass(frozen=True, slots=True)
class Viewer:
    """What the viewer shows.

    Args:
        blocks: the volumes.
        settings: plain data for its script: per case the ids of its volumes, where to begin (RAS+ mm) and the array's
            sagittal axis; and the classes.
    """

    blocks: tuple[Block, ...]
    settings: dict[str, Any]

    @property
    def megabytes(self) -> float:
        """What the volumes take in the page."""
        return sum(block.megabytes for block in self.blocks)


def viewer(cases: Sequence[ShownCase], scheme: LabelScheme) -> Viewer:
    """Prepare cases for the viewer; labels are class indices there, whatever the values in the masks."""
    blocks: list[Block] = []
    described = []
    for number, case in enumerate(cases):
        volumes = {"image": _smallest(case.image.array), "reference": case.reference, "prediction": case.prediction}
        ids = {what: f"volume-{number}-{what}" for what in volumes}
        blocks += [Block(ids[what], embed(array, case.image.affine)) for what, array in volumes.items()]
        title = f"{case.name} ({case.extreme.rank}, Dice {case.extreme.result.dice:.3f})"
        described.append({"title": title, "cross": case.centre, "across": case.grid.axes[0], **ids})
    classes = [{"name": c.name, "color": list(c.color)} for c in scheme.classes]
    return Viewer(tuple(blocks), {"cases": described, "classes": classes})


def embed(array: NDArray[Any], affine: NDArray[np.float64]) -> str:
    """Return a volume as a gzipped NIfTI file in base64: voxels, affine and the unit mm, and nothing else.

    The header is new, so nothing that the source's may say of a patient can come along; equal volumes give equal text.

    Args:
        array: ``(I, J, K)``, of a type that NIfTI has.
        affine: voxel indices to RAS+ mm.
    """
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    return base64.b64encode(gzip.compress(image.to_bytes(), 6, mtime=0)).decode("ascii")


def _smallest(image: NDArray[np.float32]) -> NDArray[Any]:
    """Whole numbers, which most scanners give, without loss in a type that takes less room."""
    for kind in (np.uint8, np.int16):
        limits = np.iinfo(kind)
        if image.min() >= limits.min and image.max() <= limits.max and np.array_equal(image, np.rint(image)):
            return image.astype(kind)
    return image
