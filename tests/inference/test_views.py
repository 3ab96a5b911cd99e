from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from spine_ignite.config import AugmentConfig
from spine_ignite.inference.views import View, views_of

MIRRORS = [View(*flags) for flags in itertools.product((False, True), repeat=3)]
NONE = AugmentConfig.model_validate({"affine": {"p": 0}})


@pytest.mark.parametrize("view", MIRRORS, ids=str)
def test_mirrors_are_numpy_s_and_undone_exactly(view: View) -> None:
    batch = torch.rand(2, 3, 5, 8)
    axes = [axis for axis, flag in ((1, view.neighbours), (2, view.rows), (3, view.columns)) if flag]
    shown = view.show(batch)
    np.testing.assert_array_equal(shown, np.flip(batch.numpy(), axes))
    back, seen = view.undo(shown.flip(1) if view.neighbours else shown)
    torch.testing.assert_close(back, batch, rtol=0, atol=0)
    assert seen.all()


@pytest.mark.parametrize("view", [View(degrees=7.5), View(degrees=-20), View(scale=1.1), View(scale=0.8)], ids=str)
def test_turns_and_zooms_are_those_of_scipy(view: View) -> None:
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(41, 57)), 3)
    angle = np.deg2rad(view.degrees)
    # A pixel of the output reads the input at the inverse of the turn; rows point down, so this is counter-clockwise.
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / view.scale
    centre = (np.array(image.shape) - 1) / 2
    expected = ndimage.affine_transform(image, matrix, centre - matrix @ centre, order=1)
    shown = view.show(torch.from_numpy(image).float()[None, None])[0, 0].numpy()
    inside = ndimage.affine_transform(np.ones_like(image), matrix, centre - matrix @ centre, order=1) > 0.999
    np.testing.assert_allclose(shown[inside], expected[inside], atol=1e-4)


@pytest.mark.parametrize("view", [View(degrees=7.5), View(degrees=-5), View(scale=1.1), View(scale=0.8)], ids=str)
def test_a_turn_or_a_zoom_is_undone_where_the_view_had_the_pixel(view: View) -> None:
    """Bilinear resampling reproduces a plane exactly, so what comes back must be the plane itself."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    plane = (2 * rows - 3 * columns)[None, None]
    back, seen = view.undo(view.show(plane))
    inner = ndimage.binary_erosion(seen[0, 0].numpy() > 0, iterations=2)  # the edge of the view blends with its margin
    assert inner.mean() > 0.6
    np.testing.assert_allclose(back[0, 0].numpy()[inner], plane[0, 0].numpy()[inner], atol=1e-3)
    if view.scale > 1:
        kept = round(64 / view.scale) * round(48 / view.scale)
        assert abs(int(seen.sum()) - kept) < 128, "a view that enlarges has lost the border"
    if view.scale < 1:
        assert seen.all()


def test_views_are_what_training_could_have_shown() -> None:
    assert views_of(NONE, 0) == (View(),)
    assert views_of(NONE, 1) == (View(), View(neighbours=True))
    flips = AugmentConfig.model_validate({"affine": {"p": 0}, "flip": {"p": 0.5, "head_to_foot": 0.1}})
    assert len(views_of(flips, 2)) == 8
    assert {view.neighbours for view in views_of(flips, 0)} == {False}
    assert views_of(flips.model_copy(update={"enabled": False}), 0) == (View(),)
    default = views_of(AugmentConfig(), 0)
    assert [view.degrees for view in default] == [0, -5, 5, 0, 0]
    assert [view.scale for view in default] == pytest.approx([1, 1, 1, np.sqrt(0.9), np.sqrt(1.1)])
    one_sided = AugmentConfig.model_validate({"affine": {"p": 1, "degrees": [4, 8], "scale": [1, 1]}})
    assert [view.degrees for view in views_of(one_sided, 0)] == [0, 4, 6]
