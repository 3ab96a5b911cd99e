from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spine_ignite.batches.augment.spatial import (
    affine_coefficients,
    elastic_displacement,
    sampling_grid,
    spline_basis,
    warp,
)


def coefficients(
    degrees: float = 0.0, scale: float = 1.0, shear: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    return affine_coefficients(
        torch.tensor([degrees]), torch.tensor([scale]), torch.tensor([shear]), torch.tensor([shift])
    )


def smooth(height: int, width: int, channels: int = 1) -> Tensor:
    rng = np.random.default_rng(height * width)
    fields = [scipy.ndimage.gaussian_filter(rng.normal(size=(height, width)), 3) for _ in range(channels)]
    return torch.tensor(np.stack(fields)[None] * 10, dtype=torch.float32)


def blocks(height: int, width: int) -> Tensor:
    return ((torch.arange(height)[:, None] // 5 + torch.arange(width) // 6) % 7)[None].to(torch.uint8)


def moved(image: Tensor, label: Tensor, maps: Tensor, displacement: Tensor | None = None) -> tuple[Tensor, Tensor]:
    size = (int(image.shape[2]), int(image.shape[3]))
    return warp(image, label, sampling_grid(maps, displacement, size))


def test_no_change_is_exactly_the_identity_map() -> None:
    assert torch.equal(coefficients(), torch.eye(2, 3, dtype=torch.float64)[None])
    image, label = smooth(33, 50), blocks(33, 50)
    out, classes = moved(image, label, coefficients())
    torch.testing.assert_close(out, image, atol=1e-4, rtol=0)
    assert torch.equal(classes, label)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_rot90(turns: int) -> None:
    image, label = smooth(40, 40, channels=2), blocks(40, 40)
    out, classes = moved(image, label, coefficients(degrees=90.0 * turns))
    torch.testing.assert_close(out, torch.rot90(image, turns, (2, 3)), atol=1e-3, rtol=0)
    assert torch.equal(classes, torch.rot90(label, turns, (1, 2)))


def test_a_shift_of_whole_pixels_moves_down_and_right_and_pads_with_minimum_and_background() -> None:
    image, label = smooth(30, 44), blocks(30, 44) + 1
    out, classes = moved(image, label, coefficients(shift=(4.0, 7.0)))
    torch.testing.assert_close(out[..., 4:, 7:], image.roll((4, 7), (2, 3))[..., 4:, 7:], atol=1e-4, rtol=0)
    assert torch.equal(classes[:, 4:, 7:], label.roll((4, 7), (1, 2))[:, 4:, 7:])
    torch.testing.assert_close(out[..., :4, :], image.min().expand_as(out[..., :4, :]), atol=1e-4, rtol=0)
    assert int(classes[:, :4].max()) == int(classes[:, :, :7].max()) == 0


@pytest.mark.parametrize("parameters", [(25.0, 1.2, 0.0), (-40.0, 0.8, 10.0), (8.0, 1.0, -20.0)])
def test_agrees_with_scipy_on_an_image_that_is_not_square(parameters: tuple[float, float, float]) -> None:
    degrees, scale, shear = parameters
    height, width = 61, 90
    image, label = smooth(height, width), blocks(height, width)
    shift = np.array([2.5, -3.25])
    out, classes = moved(image, label, coefficients(degrees, scale, shear, (shift[0], shift[1])))

    angle = np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(rotation @ np.diag([scale, scale]) @ [[1, 0], [np.tan(np.deg2rad(shear)), 1]])
    centre = np.array([height - 1, width - 1]) / 2
    offset = centre - inverse @ (centre + shift)
    expected = scipy.ndimage.affine_transform(image[0, 0].numpy(), inverse, offset, order=1, cval=float(image.min()))
    classes_expected = scipy.ndimage.affine_transform(label[0].numpy(), inverse, offset, order=0)
    inside = scipy.ndimage.affine_transform(np.ones((height, width)), inverse, offset, order=1) > 0.999
    assert inside.mean() > 0.4
    np.testing.assert_allclose(out[0, 0].numpy()[inside], expected[inside], atol=2e-3)
    assert (classes[0].numpy() == classes_expected)[inside].mean() > 0.999


def test_each_image_gets_its_own_map_and_displacement() -> None:
    image, label = smooth(32, 40).repeat(2, 1, 1, 1), blocks(32, 40).repeat(2, 1, 1)
    maps = torch.cat([coefficients(), coefficients(degrees=180.0)])
    displacement = torch.zeros(2, 2, 32, 40)
    displacement[0, 0], displacement[1, 1] = 3.0, -2.0
    out, classes = moved(image, label, maps, displacement)
    torch.testing.assert_close(out[0, :, :-3], image[0, :, 3:], atol=1e-4, rtol=0)
    turned = torch.rot90(image[1], 2, (1, 2))  # read two columns further left, that is two columns of `turned` right
    torch.testing.assert_close(out[1, :, :, :-2], turned[:, :, 2:], atol=1e-4, rtol=0)
    assert torch.equal(classes[0, :-3], label[0, 3:])


@given(size=st.integers(1, 300), knots=st.integers(4, 64))
@settings(max_examples=40)
def test_spline_weights_are_a_partition_of_unity_and_reproduce_straight_lines(size: int, knots: int) -> None:
    basis = spline_basis(size, knots, torch.device("cpu")).double()
    assert float(basis.min()) >= 0
    torch.testing.assert_close(basis.sum(1), torch.ones(size).double(), atol=1e-6, rtol=0)
    # Control points on a line (their abscissae run from -1 to knots - 2) give that line.
    line = basis @ (torch.arange(knots).double() - 1)
    torch.testing.assert_close(line, (torch.arange(size).double() + 0.5) / size * (knots - 3), atol=1e-4, rtol=0)


def test_elastic_displacement_is_smooth_and_has_the_configured_deviation_everywhere() -> None:
    generator = torch.Generator().manual_seed(0)
    field = elastic_displacement(4.0 * torch.randn(3000, 2, 7, 7, generator=generator), (24, 36))
    assert field.shape == (3000, 2, 24, 36)
    deviation = field.std(dim=0)
    assert 3.7 < float(deviation.min()) <= float(deviation.max()) < 4.3
    gradient = field.diff(dim=3) * 36 / 4  # per control interval
    assert float(gradient.std()) < 1.2 * 4  # MAX_STRAIN relies on it


def test_image_and_label_stay_together_under_a_strong_deformation() -> None:
    label = torch.zeros(1, 96, 120, dtype=torch.uint8)
    label[:, 20:50, 30:80], label[:, 55:80, 40:100] = 1, 2
    generator = torch.Generator().manual_seed(1)
    displacement = elastic_displacement(3.0 * torch.randn(1, 2, 7, 7, generator=generator), (96, 120))
    out, classes = moved(label[:, None].float(), label, coefficients(12.0, 1.1, 5.0, (3.0, -2.0)), displacement)
    certain = (out[:, 0] - out[:, 0].round()).abs() < 1e-3
    assert float(certain.float().mean()) > 0.85
    agrees = out[:, 0].round().to(torch.uint8) == classes
    assert float(agrees[certain].float().mean()) > 0.999
    assert float((classes != label).float().mean()) > 0.02
