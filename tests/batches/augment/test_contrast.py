from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spine_ignite.batches.augment.augmenter import BatchAugmenter
from spine_ignite.batches.augment.contrast import change_tissues, intensity_map, remap
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


@pytest.mark.parametrize("contrast", ["remap", "tissue"])
def test_other_draws_do_not_move_when_contrast_is_randomised(contrast: str) -> None:
    image, label = batch(count=8)
    config = {"affine": {"p": 0.5}, "elastic": {"p": 0.5}, "flip": {"p": 0.5}}
    plain, plain_classes = BatchAugmenter(only(**config), 7)(image, label, 3)
    changed, classes = BatchAugmenter(only(**config, **{contrast: {"p": 0.5}}), 7)(image, label, 3)
    assert torch.equal(classes, plain_classes)
    same = (changed == plain).flatten(1).all(1)
    assert 0 < int(same.sum()) < 8, "slices that are not chosen are as they were, bit for bit"
    for row in (~same).nonzero()[:, 0]:
        torch.testing.assert_close(changed[row].mean(), plain[row].mean(), atol=1e-4, rtol=0)
        torch.testing.assert_close(changed[row].std(), plain[row].std(), atol=1e-4, rtol=1e-4)


LINE = torch.tensor([[0.0, 1.0]])  # the map that changes nothing


def blocks(size: int = 96) -> tuple[Tensor, Tensor]:
    """Nine blocks of 24 pixels in a background with noise: classes 1 to 9, each of its own brightness and texture."""
    generator = torch.Generator().manual_seed(5)
    label = torch.zeros(size, size, dtype=torch.uint8)
    image = torch.rand(size, size, generator=generator)
    for index in range(9):
        top, left = 4 + 30 * (index // 3), 4 + 30 * (index % 3)
        label[top : top + 24, left : left + 24] = index + 1
        noise = torch.randn(24, 24, generator=generator) * 0.02 * (1 + index % 3)
        image[top : top + 24, left : left + 24] = 0.2 + 0.07 * index + noise
    return image[None, None], label[None]


def inside(image: Tensor, label: Tensor, value: int) -> Tensor:
    """The pixels of a class that are not at its border."""
    rows, columns = (axis.unique() for axis in (label[0] == value).nonzero(as_tuple=True))
    return image[0, 0][rows[1:-1]][:, columns[1:-1]]


def test_means_and_textures_of_classes_follow_what_was_drawn() -> None:
    source, label = blocks()
    generator = torch.Generator().manual_seed(1)
    means, texture = torch.rand(1, 256, generator=generator), torch.linspace(0.2, 1.4, 256)[None].clone()
    means, texture[:, 1:10] = means * 0.6 + 0.2, torch.linspace(0.2, 1.4, 9)
    image = source.clone()
    change_tissues(image, label, means, texture, LINE)
    observed = torch.stack([inside(image, label, value).mean() for value in range(1, 10)]).double()
    # Mean and deviation of the whole are kept, so that what is drawn and what is seen differ by one linear map.
    slope, offset = np.polyfit(means[0, 1:10].numpy(), observed.numpy(), 1)
    np.testing.assert_allclose(observed, slope * means[0, 1:10].numpy() + offset, atol=0.01 * slope)
    torch.testing.assert_close(image.mean(), source.mean(), atol=1e-4, rtol=0)
    torch.testing.assert_close(image.std(), source.std(), atol=1e-4, rtol=0)
    binomial = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
    for value in range(1, 10):
        expected = slope * float(texture[0, value])
        blurred = scipy.ndimage.convolve(source[0, 0].numpy(), binomial)[None, None]
        former = inside(torch.from_numpy(blurred), label, value)[1:-1, 1:-1]
        torch.testing.assert_close(
            inside(image, label, value)[1:-1, 1:-1].std().item(), expected * former.std().item(), rtol=0.06, atol=0.003
        )


def test_what_is_ignored_is_background() -> None:
    source, label = blocks()
    means, texture = torch.full((1, 256), 0.5), torch.ones(1, 256)
    images = []
    for value in (0, 255):
        changed = torch.where(label == 4, value, label.int()).to(torch.uint8)
        images.append(source.clone())
        change_tissues(images[-1], changed, means, texture, torch.tensor([[0.0, 0.9, 0.1, 0.4]]))
    assert torch.equal(*images)


def test_tissues_share_a_brightness_and_the_label_stays() -> None:
    source, label = blocks()
    config = only(tissue={"p": 1, "spread": 0})
    tissues = ["background", *["vertebra"] * 5, *["disc"] * 4]
    out, classes = BatchAugmenter(config, 2, tissues)(source.repeat(6, 1, 1, 1), label.repeat(6, 1, 1), 9)
    assert torch.equal(classes, label.repeat(6, 1, 1))
    between = []
    for one in out[:, None]:
        means = torch.stack([inside(one, label, value).mean() for value in range(1, 10)])
        assert float(means[:5].std()) < 0.02
        assert float(means[5:].std()) < 0.02
        between.append(float((means[:5].mean() - means[5:].mean()).abs()))
    assert max(between) > 0.2
    assert len({round(value, 3) for value in between}) == 6, "each slice has a contrast of its own"


def test_without_labels_only_the_map_of_the_rest_and_the_blur_are_left() -> None:
    source, label = blocks()
    image, mapped = source.clone(), source.clone()
    rest = torch.tensor([[0.0, 0.8, 0.3]])
    change_tissues(image, torch.zeros_like(label), torch.rand(1, 256), torch.rand(1, 256), rest)
    remap(mapped, rest)
    binomial = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
    expected = scipy.ndimage.convolve(mapped[0, 0].double().numpy(), binomial, mode="nearest")
    expected = (expected - expected.mean()) / expected.std() * float(source.std()) + float(source.mean())
    np.testing.assert_allclose(image[0, 0], expected, atol=0.01)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_labels_of_any_integer_type_give_the_same(dtype: torch.dtype) -> None:
    source, label = blocks()
    expected, _ = BatchAugmenter(only(tissue={"p": 1}), 2)(source, label, 9)
    out, classes = BatchAugmenter(only(tissue={"p": 1}), 2)(source, label.to(dtype), 9)
    assert torch.equal(out, expected)
    assert classes.dtype == dtype


@given(
    channels=st.integers(1, 3),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    knots=st.integers(1, 64),
    offset=st.sampled_from([0.0, -1e3]),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 1e4]),
)
@settings(max_examples=60)
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
@pytest.mark.parametrize("contrast", ["remap", "tissue"])
def test_the_same_contrast_on_a_gpu(contrast: str) -> None:
    image, label = batch(count=6)
    augmenter = BatchAugmenter(only(**{contrast: {"p": 0.8}}), 5)
    expected, _ = augmenter(image, label, 2)
    out, _ = augmenter(image.cuda(), label.cuda(), 2)
    torch.testing.assert_close(out.cpu(), expected, atol=1e-4, rtol=1e-4)
