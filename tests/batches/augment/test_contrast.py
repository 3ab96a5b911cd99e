from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spine_ignite.batches.augment.augmenter import BatchAugmenter
from spine_ignite.batches.augment.contrast import intensity_map, remap
from spine_ignite.config import AugmentConfig

OTHERS = [name for name in AugmentConfig.model_fields if name not in ("enabled", "torchio")]


def only(**sections: dict[str, Any]) -> AugmentConfig:
    """A configuration in which every transform but the given ones is off."""
    return AugmentConfig.model_validate({name: {"p": 0.0} for name in OTHERS} | sections)


def batch(count: int = 4, channels: int = 2, height: int = 40, width: int = 52, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(count, channels, height, width, generator=generator).mul_(2).add_(1)
    return image, torch.randint(0, 5, (count, height, width), generator=generator, dtype=torch.uint8)


def is_monotone(source: Tensor, out: Tensor) -> bool:
    ordered = out.flatten()[source.flatten().argsort()]
    return bool((ordered.diff() >= -1e-5).all())


def test_remap_is_numpys_interpolation_with_mean_and_deviation_kept() -> None:
    source, _ = batch(count=2)
    image, values = source.clone(), torch.tensor([[0.0, 0.9, 0.2, 0.5], [0.0, 0.1, 0.4, 1.0]])
    remap(image, values)
    for one, out, heights in zip(source.double().numpy(), image.double().numpy(), values.numpy(), strict=True):
        mapped = np.interp(one, np.linspace(one.min(), one.max(), len(heights)), heights)
        expected = (mapped - mapped.mean()) / mapped.std() * one.std() + one.mean()
        np.testing.assert_allclose(out, expected, atol=1e-4)


def test_maps_keep_the_minimum_and_are_monotone_where_they_shall() -> None:
    heights = torch.rand(50, 5, generator=torch.Generator().manual_seed(0))
    values = intensity_map(heights, torch.arange(50) < 25)
    assert bool((values[:, 0] == 0).all())
    assert bool((values[:25].diff(dim=1) >= 0).all())
    assert torch.equal(values[25:, 1:], heights[25:])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_of_monotone_maps_is_as_configured(share: float) -> None:
    image, label = batch(count=60, height=16, width=16)
    out, classes = BatchAugmenter(only(remap={"p": 1, "monotone": share, "knots": (5, 7)}), 3)(image, label, 8)
    assert torch.equal(classes, label)
    monotone = sum(is_monotone(*pair) for pair in zip(image, out, strict=True))
    assert abs(monotone - 60 * share) <= 15  # four standard deviations
    assert monotone == 60 or share < 1


def test_tissues_change_their_order_in_both_channels_alike() -> None:
    """Four tissues, from dark to bright: all 24 orders but those in which air is not the darkest come up."""
    image = torch.tensor([0.0, 1.0, 2.0, 3.0]).repeat(400, 2, 8, 2)
    out, _ = BatchAugmenter(only(remap={"p": 1, "monotone": 0, "knots": (3, 3)}), 0)(
        image, torch.zeros(400, 8, 8, dtype=torch.uint8), 0
    )
    assert torch.equal(out[:, 0], out[:, 1])
    orders = {tuple(row.argsort().tolist()) for row in out[:, 0, 0, :4]}
    assert orders == {(0, *order) for order in [(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)]}


def test_other_draws_do_not_move_when_contrast_is_randomised() -> None:
    image, label = batch(count=8)
    config = {"affine": {"p": 0.5}, "elastic": {"p": 0.5}, "flip": {"p": 0.5}}
    plain, plain_classes = BatchAugmenter(only(**config), 7)(image, label, 3)
    changed, classes = BatchAugmenter(only(**config, remap={"p": 0.5}), 7)(image, label, 3)
    assert torch.equal(classes, plain_classes)
    same = (changed == plain).flatten(1).all(1)
    assert 0 < int(same.sum()) < 8, "slices that are not chosen are as they were, bit for bit"
    for row in (~same).nonzero()[:, 0]:
        torch.testing.assert_close(changed[row].mean(), plain[row].mean(), atol=1e-4, rtol=0)
        torch.testing.assert_close(changed[row].std(), plain[row].std(), atol=1e-4, rtol=1e-4)


@given(
    channels=st.integers(1, 3),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    knots=st.integers(1, 64),
    offset=st.sampled_from([0.0, -1e3]),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 1e4]),
)
@settings(max_examples=60, deadline=None)
def test_remap_of_any_image_is_finite_and_keeps_its_moments(
    channels: int, height: int, width: int, knots: int, offset: float, scale: float
) -> None:
    image = batch(1, channels, height, width)[0] * scale + offset
    source = image.clone()
    remap(image, torch.cat([torch.zeros(1, 1), torch.rand(1, knots)], dim=1))
    assert bool(image.isfinite().all())
    # A mean of single-precision numbers is as exact as the largest of them.
    assert abs(float(image.mean() - source.mean())) <= 1e-3 * scale + 1e-5 * abs(offset)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_same_maps_on_a_gpu() -> None:
    image, label = batch(count=6)
    augmenter = BatchAugmenter(only(remap={"p": 0.8}), 5)
    expected, _ = augmenter(image, label, 2)
    out, _ = augmenter(image.cuda(), label.cuda(), 2)
    torch.testing.assert_close(out.cpu(), expected, atol=1e-4, rtol=1e-4)
