"""Everything that the core expects of a step of the clean-up."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_ignite.config.postprocess import takes_classes
from spine_ignite.inference.postprocess import clean
from spine_ignite.inference.postprocess.cleaned import Cleaned
from spine_ignite.labels import LabelScheme, load_scheme
from spine_ignite.testing.component_kit import ComponentConformance

Indices = NDArray[np.uint8]


class CleanupConformance(ComponentConformance):
    """Base class of the conformance test of a clean-up step.

    Attributes:
        scheme: label scheme of the volumes that are cleaned.
    """

    kind: ClassVar[str] = "cleanup-step"
    scheme: ClassVar[str] = "lumbar-vertebrae"

    def clean(self, indices: Indices, affine: NDArray[np.float64] | None = None, classes: str = "") -> Cleaned:
        """Take the step, as prediction would."""
        affine = np.diag([4.0, 1.0, 1.0, 1.0]) if affine is None else affine
        return clean(indices, affine, load_scheme(self.scheme), [f"{self.name}:{classes}" if classes else self.name])

    def test_it_leaves_its_input_and_depends_on_nothing_else(self) -> None:
        """Two calls give the same, of the same shape; the array that was given is as it was."""
        indices, _ = speckled(load_scheme(self.scheme))
        kept = indices.copy()
        first, second = self.clean(indices), self.clean(indices)
        assert np.array_equal(indices, kept), "the step changes the array that it is given"
        assert np.array_equal(first.indices, second.indices), "two calls differ"
        assert first.message, "the step does not say what it did"

    @pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 30), (6, 5, 4)])
    def test_small_and_empty_volumes(self, shape: tuple[int, int, int]) -> None:
        """Nothing comes of nothing; a volume of a single slice or voxel is one."""
        assert not self.clean(np.zeros(shape, np.uint8)).indices.any(), "something is found in an empty volume"
        self.clean(np.ones(shape, np.uint8))

    def test_the_order_of_axes_in_the_file_changes_nothing(self) -> None:
        """The same anatomy stored with other axes is cleaned alike."""
        indices, affine = speckled(load_scheme(self.scheme))
        expected = self.clean(indices, affine).indices
        flip = np.diag([1.0, -1.0, 1.0, 1.0])
        flip[1, 3] = indices.shape[1] - 1
        found = self.clean(np.ascontiguousarray(indices[:, ::-1]), affine @ flip).indices
        assert np.array_equal(found[:, ::-1], expected), "an axis that runs the other way gives another result"
        swap = np.eye(4)[[2, 1, 0, 3]]
        found = self.clean(np.ascontiguousarray(indices.T), affine @ swap).indices
        assert np.array_equal(found.T, expected), "axes in another order give another result"

    def test_only_the_structures_that_are_named_are_cleaned(self) -> None:
        """Of a step that can be restricted."""
        if not takes_classes(self.registered.value):
            pytest.skip("the step cannot be restricted to structures")
        scheme = load_scheme(self.scheme)
        indices, affine = speckled(scheme)
        found = self.clean(indices.copy(), affine, scheme.classes[1].name).indices
        changed = found != indices
        others = (set(np.unique(indices[changed])) | set(np.unique(found[changed]))) - {0, 1}
        assert not others, f"cleaning the first structure changes those of index {sorted(map(int, others))}"


def speckled(scheme: LabelScheme) -> tuple[Indices, NDArray[np.float64]]:
    """A column of blocks with holes, and specks beside it ``(I, J, K)``, with an affine in mm."""
    rng = np.random.default_rng(0)
    count = min(5, scheme.num_classes - 1)
    indices = np.zeros((7, 36, 16 * count), np.uint8)
    for place in range(count):
        indices[1:6, 8:26, 16 * place + 2 : 16 * place + 14] = place + 1
    holes = (rng.random(indices.shape) < 0.02) & (indices > 0)
    specks = (rng.random(indices.shape) < 0.01) & (indices == 0)
    indices[holes] = 0
    indices[specks] = rng.integers(1, count + 1, int(specks.sum()))
    affine = np.diag([4.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (-12.0, 20.0, -30.0)
    return indices, affine
