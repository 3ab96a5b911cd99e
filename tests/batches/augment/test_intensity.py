from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor

from spine_ignite.batches.augment.intensity import (
    add_ghosts,
    add_noise,
    apply_bias_field,
    bias_control,
    blur,
    change_contrast,
    change_gamma,
    lower_resolution,
    moments,
)


def images(count: int = 3, channels: int = 2, height: int = 40, width: int = 52) -> Tensor:
    generator = torch.Generator().manual_seed(count * height)
    return torch.randn(count, channels, height, width, generator=generator).mul_(2).add_(1)


def test_moments_are_those_of_all_channels_together() -> None:
    image = images()
    mean, std = moments(image)
    np.testing.assert_allclose(mean.flatten(), image.numpy().mean((1, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(std.flatten(), image.numpy().std((1, 2, 3)), rtol=1e-5)


def test_contrast_scales_about_the_mean_and_brightness_counts_in_deviations() -> None:
    image = images()
    before, deviation = moments(image)
    change_contrast(image, torch.tensor([1.0, 1.5, 0.5]), torch.tensor([0.2, 0.0, -0.3]))
    mean, std = moments(image)
    torch.testing.assert_close(std / deviation, torch.tensor([1.0, 1.5, 0.5])[:, None, None, None])
    expected = torch.tensor([0.2, 0.0, -0.3])[:, None, None, None]
    torch.testing.assert_close((mean - before) / deviation, expected, atol=1e-4, rtol=0)


def test_gamma_follows_the_power_law_and_keeps_mean_and_deviation() -> None:
    image = images()
    source, gamma = image.clone(), (1.0, 0.5, 2.0)
    change_gamma(image, torch.tensor(gamma))
    torch.testing.assert_close(image[0], source[0], atol=1e-4, rtol=0)
    for one, out, exponent in zip(source.double(), image.double(), gamma, strict=True):
        power = ((one - one.min()) / (one.max() - one.min())) ** exponent
        expected = (power - power.mean()) / power.std(unbiased=False) * one.std(unbiased=False) + one.mean()
        torch.testing.assert_close(out, expected, atol=1e-3, rtol=0)


def test_a_bias_field_is_smooth_within_its_amplitude_and_leaves_the_background_alone() -> None:
    coefficients = torch.randn(200, 4, 4, generator=torch.Generator().manual_seed(0))
    amplitude = torch.linspace(0.0, 0.5, 200)
    control = bias_control(coefficients, amplitude)
    assert torch.equal(control[0], torch.ones(11, 11))
    torch.testing.assert_close(control.log().abs().amax((1, 2)), amplitude, atol=1e-5, rtol=1e-4)

    image = torch.full((200, 2, 48, 64), -1.5)
    image[:, :, 10:, 10:] = 0.5  # 2 above the minimum
    apply_bias_field(image, control)
    assert torch.equal(image[:, :, :10], torch.full((200, 2, 10, 64), -1.5))
    field = (image[:, :, 10:, 10:] + 1.5) / 2
    assert torch.equal(field[:, 0], field[:, 1])
    assert bool((field.log().abs().amax((1, 2, 3)) <= amplitude + 1e-5).all())
    assert float(field[100:].log().abs().amax((1, 2, 3)).mean()) > 0.15
    assert float(field.diff(dim=3).abs().max()) < 0.1


@pytest.mark.parametrize("sigma", [0.4, 1.2, 3.0])
def test_blur_is_scipys_gaussian_with_a_sigma_per_image(sigma: float) -> None:
    image = images()
    source = image.clone()
    blur(image, torch.tensor([sigma, 0.0, 2.0]))
    assert torch.equal(image[1], source[1])
    for index, one in ((0, sigma), (2, 2.0)):
        radius = (0, math.ceil(3 * one), math.ceil(3 * one))
        expected = scipy.ndimage.gaussian_filter(source[index].numpy(), (0, one, one), mode="nearest", radius=radius)
        np.testing.assert_allclose(image[index].numpy(), expected, atol=1e-4)


def test_low_resolution_removes_detail_and_keeps_the_coarse_picture() -> None:
    line = torch.arange(40) / 40
    coarse = torch.sin(2 * math.pi * line)[:, None] + torch.cos(2 * math.pi * line)
    detail = 0.5 * (torch.arange(40)[:, None] % 2 * 2 - 1)
    image = (coarse + detail).repeat(3, 1, 1, 1)
    source = image.clone()
    lower_resolution(image, torch.tensor([1.0, 0.5, 0.25]))
    torch.testing.assert_close(image[0], source[0], atol=1e-5, rtol=0)
    for index, tolerance in ((1, 0.15), (2, 0.25)):  # the detail is 0.5 high
        assert float((image[index] - coarse)[:, 4:-4, 4:-4].abs().max()) < tolerance


@pytest.mark.parametrize("axis", [-2, -1])
@pytest.mark.parametrize("length", [60, 61])
def test_ghosts_are_copies_a_fraction_of_the_field_of_view_apart(axis: int, length: int) -> None:
    image = torch.full((2, 1, length, length), -1.0)
    image[..., 20:24, 20:24] = 3.0
    source = image.clone()
    add_ghosts(image, torch.tensor([3, 2]), torch.tensor([0.3, 0.0]), axis)
    torch.testing.assert_close(image[1], source[1], atol=1e-5, rtol=0)
    assert float((image[0] - source[0]).abs().max()) > 0.1
    assert float(image.min()) >= -1.0 - 1e-5
    if length % 3 == 0:
        signal = source[0].double() + 1
        copies = torch.stack([signal.roll(shift, axis) for shift in (0, 20, 40)]).sum(0)
        # The central line of k-space, the mean along the axis, is kept.
        expected = (signal - 0.3 / 3 * (copies - copies.mean(axis, keepdim=True))).abs() - 1
        torch.testing.assert_close(image[0].double(), expected, atol=1e-4, rtol=0)


def test_noise_has_the_configured_deviation_and_its_own_draw_per_channel() -> None:
    image = images(count=3, channels=2, height=200, width=200)
    source = image.clone()
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(3))
    add_noise(image, torch.tensor([0.0, 0.05, 0.2]), noise)
    noise = image - source
    assert torch.equal(image[0], source[0])
    deviation = moments(source)[1].flatten()
    np.testing.assert_allclose(noise.std((1, 2, 3)) / deviation, [0.0, 0.05, 0.2], rtol=0.02)
    assert abs(float((noise[2, 0] * noise[2, 1]).mean() / noise[2].var())) < 0.03
    assert float(noise.mean().abs()) < 0.01


def test_a_constant_image_stays_finite_and_constant() -> None:
    image = torch.full((1, 1, 16, 16), 4.0)
    one = torch.ones(1)
    change_contrast(image, 1.3 * one, 0.1 * one)
    change_gamma(image, 0.7 * one)
    apply_bias_field(image, bias_control(torch.ones(1, 4, 4), 0.5 * one))
    add_noise(image, 0.1 * one, torch.randn(image.shape))
    torch.testing.assert_close(image, torch.full((1, 1, 16, 16), 4.0))
