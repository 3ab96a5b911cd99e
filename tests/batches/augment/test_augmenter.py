from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spine_ignite.batches.augment import random_batch
from spine_ignite.batches.augment.augmenter import BatchAugmenter
from spine_ignite.config import AugmentConfig

# Contrasts are left out of several alone; test_contrasts.py has that.
TRANSFORMS = [name for name in AugmentConfig.model_fields if name not in ("enabled", "torchio", "drop_contrast")]


def only(**sections: dict[str, Any]) -> AugmentConfig:
    """A configuration in which every transform but the given ones is off."""
    return AugmentConfig.model_validate({name: {"p": 0.0} for name in TRANSFORMS} | sections)


def everything(**sections: dict[str, Any]) -> AugmentConfig:
    chosen: dict[str, dict[str, Any]] = {name: {"p": 1.0} for name in TRANSFORMS}
    return AugmentConfig.model_validate(chosen | sections)


def batch(count: int = 4, channels: int = 1, height: int = 48, width: int = 64, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(count, channels, height, width, generator=generator)
    rows, columns = torch.arange(height)[:, None] // 8, torch.arange(width) // 8
    return image, ((rows * 3 + columns) % 20).to(torch.uint8).repeat(count, 1, 1)


def test_without_any_transform_a_batch_comes_back_equal_in_new_tensors() -> None:
    image, label = batch()
    out, classes = BatchAugmenter(only(), 0)(image, label, 1)
    assert torch.equal(out, image)
    assert torch.equal(classes, label)
    assert out.data_ptr() != image.data_ptr()
    assert classes.data_ptr() != label.data_ptr()


def test_disabled_means_untouched_whatever_the_probabilities() -> None:
    image, label = batch()
    out, classes = BatchAugmenter(everything(enabled=False), 0)(image, label, 1)
    assert out is image
    assert classes is label


def test_transforms_without_effect_are_the_identity_bit_for_bit() -> None:
    still = {"degrees": (0, 0), "scale": (1, 1), "shear": (0, 0), "shift_rows": (0, 0), "shift_columns": (0, 0)}
    config = only(
        affine={"p": 1, **still},
        elastic={"p": 1, "magnitude": (0, 0)},
        noise={"p": 1, "std": (0, 0)},
        blur={"p": 1, "sigma": (0, 0)},
    )
    image, label = batch()
    out, classes = BatchAugmenter(config, 0)(image, label, 1)
    assert torch.equal(out, image)
    assert torch.equal(classes, label)


@pytest.mark.parametrize(("flip", "axis"), [({"p": 1.0}, -1), ({"head_to_foot": 1.0}, -2)])
def test_flips_are_exact(flip: dict[str, float], axis: int) -> None:
    image, label = batch(channels=3)
    out, classes = BatchAugmenter(only(flip=flip), 0)(image, label, 5)
    assert torch.equal(out, image.flip(axis))
    assert torch.equal(classes, label.flip(axis))


def test_neighbours_change_sides_and_the_label_stays() -> None:
    image, label = batch(channels=5)
    out, classes = BatchAugmenter(only(flip={"neighbours": 1.0}), 0)(image, label, 5)
    assert torch.equal(out, image[:, [4, 3, 2, 1, 0]])
    assert torch.equal(classes, label)
    sometimes = BatchAugmenter(only(flip={"neighbours": 0.5}), 0)
    reversed_ = [bool((sometimes(image, label, i)[0][0] == image[0].flip(0)).all()) for i in range(40)]
    assert 5 < sum(reversed_) < 35


def test_rows_never_flip_by_default_even_where_columns_do() -> None:
    label = torch.arange(48)[:, None].expand(48, 64).to(torch.uint8).repeat(64, 1, 1)
    image = label[:, None].float()
    config = AugmentConfig.model_validate({"flip": {"p": 0.5}})
    for iteration in range(5):
        _, classes = BatchAugmenter(config, 3)(image, label, iteration)
        # Head above foot: the lower half's rows come from further down than the upper half's.
        inside = classes[:, :, 24:40].float()
        assert bool((inside[:, 30:36].mean((1, 2)) > inside[:, 12:18].mean((1, 2)) + 5).all())


def test_a_turn_of_exactly_ninety_degrees_is_rot90() -> None:
    config = only(
        affine={
            "p": 1,
            "degrees": (90, 90),
            "scale": (1, 1),
            "shear": (0, 0),
            "shift_rows": (0, 0),
            "shift_columns": (0, 0),
        }
    )
    image, label = batch(width=48)
    out, classes = BatchAugmenter(config, 0)(image, label, 1)
    torch.testing.assert_close(out, torch.rot90(image, 1, (2, 3)), atol=1e-4, rtol=0)
    assert torch.equal(classes, torch.rot90(label, 1, (1, 2)))


def test_shifts_are_shares_of_height_and_width() -> None:
    config = only(
        affine={
            "p": 1,
            "degrees": (0, 0),
            "scale": (1, 1),
            "shear": (0, 0),
            "shift_rows": (0.25, 0.25),
            "shift_columns": (-0.125, -0.125),
        }
    )
    image, label = batch()
    out, classes = BatchAugmenter(config, 0)(image, label, 1)
    torch.testing.assert_close(out[..., 12:, :-8], image.roll((12, -8), (2, 3))[..., 12:, :-8], atol=1e-4, rtol=0)
    assert torch.equal(classes[:, 12:, :-8], label.roll((12, -8), (1, 2))[:, 12:, :-8])


@pytest.mark.parametrize("elastic", [0.0, 1.0])
def test_image_and_label_stay_aligned(elastic: float) -> None:
    config = only(affine={"p": 1}, elastic={"p": elastic, "magnitude": (0.02, 0.03)}, flip={"p": 0.5})
    label = torch.zeros(8, 96, 128, dtype=torch.uint8)
    label[:, 20:70, 30:90] = 1
    label[::2, 10:30, 20:50] = 1
    out, classes = BatchAugmenter(config, 1)(label[:, None].float(), label, 2)
    assert float(((out[:, 0] > 0.5) == (classes == 1)).float().mean()) > 0.99
    assert float((classes != label).float().mean()) > 0.02


def test_the_same_seed_and_iteration_give_the_same_batch_and_others_do_not() -> None:
    image, label = batch()
    torch.manual_seed(1)
    first = BatchAugmenter(everything(), 7)(image, label, 100)
    state = torch.get_rng_state()
    again = BatchAugmenter(everything(), 7)
    again(image, label, 99)  # what came before does not matter
    torch.manual_seed(2)
    second = again(image, label, 100)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state), "the program's own random numbers are left alone"
    outputs = [first[0], again(image, label, 101)[0], BatchAugmenter(everything(), 8)(image, label, 100)[0]]
    outputs += [BatchAugmenter(everything(), 100)(image, label, 7)[0]]
    for i, one in enumerate(outputs):
        assert not any(torch.equal(one, other) for other in outputs[:i])


def test_switching_one_transform_off_leaves_the_others_as_they_were() -> None:
    image, label = batch()
    _, both = BatchAugmenter(only(affine={"p": 0.5}, noise={"p": 0.5}), 7)(image, label, 3)
    _, one = BatchAugmenter(only(affine={"p": 0.5}), 7)(image, label, 3)
    assert torch.equal(both, one)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_probabilities_hold_for_each_slice(name: str) -> None:
    image, label = batch(count=200, height=16, width=16)
    strength = {
        "elastic": {"magnitude": (0.02, 0.03)},
        "noise": {"std": (0.05, 0.1)},
        "low_resolution": {"zoom": (0.5, 0.6)},
    }
    augmenter = BatchAugmenter(only(**{name: {"p": 0.3, **strength.get(name, {})}}), 4)
    changed = torch.cat([(augmenter(image, label, i)[0] != image).flatten(1).any(1) for i in range(5)])
    assert 0.24 < float(changed.float().mean()) < 0.36  # four standard deviations
    # Each slice decides on its own: the numbers of changed slices vary as a binomial's, not all or none.
    assert 20 < int(changed[:200].sum()) < 100


def test_decisions_of_different_transforms_are_independent() -> None:
    image, label = batch(count=500, height=8, width=8)
    hits = []
    for name in ("flip", "gamma", "noise"):
        out, _ = BatchAugmenter(only(**{name: {"p": 0.5}}), 0)(image, label, 0)
        hits.append((out != image).flatten(1).any(1).float())
    correlation = torch.corrcoef(torch.stack(hits)) - torch.eye(3)
    assert float(correlation.abs().max()) < 0.18


def test_channels_of_a_slice_are_treated_alike() -> None:
    image, label = batch()
    config = everything(noise={"p": 0.0})  # noise is the one thing that differs from slice to slice of a scan
    one, _ = BatchAugmenter(config, 0)(image, label, 1)
    three, _ = BatchAugmenter(config, 0)(image.repeat(1, 3, 1, 1), label, 1)
    torch.testing.assert_close(three, one.repeat(1, 3, 1, 1), atol=1e-4, rtol=1e-4)


def test_working_slice_by_slice_or_on_all_at_once_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    image, label = batch(count=6)
    config = AugmentConfig.model_validate({name: {"p": 0.6} for name in TRANSFORMS})
    alone = [BatchAugmenter(config, 0)(image, label, i) for i in range(4)]
    monkeypatch.setattr(random_batch, "_works_slice_by_slice", lambda device: False)
    together = [BatchAugmenter(config, 0)(image, label, i) for i in range(4)]
    for (a, label_a), (b, label_b) in zip(alone, together, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
        assert torch.equal(label_a, label_b)


@given(count=st.integers(1, 7), shares=st.integers(1, 5), seed=st.integers(0, 2**40), p=st.sampled_from([0.5, 1.0]))
@settings(max_examples=40)
def test_a_row_is_augmented_alike_wherever_the_others_of_its_batch_are(
    count: int, shares: int, seed: int, p: float
) -> None:
    image, label = batch(count, channels=3)
    config = AugmentConfig.model_validate({name: {"p": p} for name in TRANSFORMS} | {"flip": {"neighbours": p}})
    augment = BatchAugmenter(config, seed)
    whole, classes = augment(image, label, 3)
    for first in range(min(shares, count)):
        rows = range(first, count, shares)
        part, part_classes = augment(image[first::shares], label[first::shares], 3, rows, count)
        assert torch.equal(part, whole[first::shares])
        assert torch.equal(part_classes, classes[first::shares])


def test_autocast_changes_nothing() -> None:
    image, label = batch(height=200, width=300)
    config = only(affine={"p": 1}, elastic={"p": 1}, bias_field={"p": 1})
    expected, classes = BatchAugmenter(config, 0)(image, label, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, cast_classes = BatchAugmenter(config, 0)(image, label, 1)
    assert torch.equal(out, expected)
    assert torch.equal(cast_classes, classes)


def test_reduced_precision_of_matrix_products_does_not_move_positions() -> None:
    image, label = batch(height=200, width=300)
    augmenter = BatchAugmenter(only(affine={"p": 1}), 0)
    expected, _ = augmenter(image, label, 1)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        out, _ = augmenter(image, label, 1)
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(out, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_image_keeps_its_dtype(dtype: torch.dtype) -> None:
    image, label = batch()
    out, classes = BatchAugmenter(everything(), 0)(image.to(dtype), label, 1)
    assert (out.dtype, classes.dtype) == (dtype, torch.uint8)


def test_an_augmented_batch_has_no_gradient() -> None:
    image, label = batch()
    out, _ = BatchAugmenter(everything(), 0)(image.requires_grad_(), label, 1)
    assert not out.requires_grad


@pytest.mark.parametrize("shape", [(4, 48, 63), (3, 48, 64), (4, 1, 48, 64)])
def test_a_label_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="belong together"):
        BatchAugmenter(AugmentConfig(), 0)(batch()[0], torch.zeros(shape, dtype=torch.uint8), 0)


@given(
    count=st.integers(0, 5),
    channels=st.integers(1, 4),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    layout=st.sampled_from(["contiguous", "channels_last", "strided"]),
    p=st.sampled_from([0.5, 1.0]),
    seed=st.integers(-(2**40), 2**64),
    iteration=st.integers(0, 2**40),
)
@settings(max_examples=60)
def test_any_batch_gives_a_finite_image_known_labels_and_unchanged_inputs(
    count: int, channels: int, height: int, width: int, layout: str, p: float, seed: int, iteration: int
) -> None:
    image, label = batch(count, channels, height, width)
    if layout == "channels_last":
        image = image.to(memory_format=torch.channels_last)
    elif layout == "strided":
        image = image.repeat_interleave(2, dim=3)[..., ::2]
        label = label.transpose(1, 2).contiguous().transpose(1, 2)
    image_before, label_before = image.clone(), label.clone()
    config = AugmentConfig.model_validate({name: {"p": p} for name in TRANSFORMS})
    out, classes = BatchAugmenter(config, seed)(image, label, iteration)
    assert torch.equal(image, image_before)
    assert torch.equal(label, label_before)
    assert (out.shape, classes.shape) == (image.shape, label.shape)
    assert out.is_contiguous()
    assert classes.is_contiguous()
    assert bool(out.isfinite().all())
    assert set(classes.unique().tolist()) <= {0, *label.unique().tolist()}
    plain, plain_classes = BatchAugmenter(config, seed)(image.contiguous(), label.contiguous(), iteration)
    assert torch.equal(out, plain)
    assert torch.equal(classes, plain_classes)
