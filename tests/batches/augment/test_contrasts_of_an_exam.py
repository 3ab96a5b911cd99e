"""Batches whose channels are several images of one exam."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from spine_ignite.batches.augment.augmenter import BatchAugmenter
from spine_ignite.batches.augment.random_batch import missing_contrasts
from spine_ignite.batches.augment.spatial import warp_image
from spine_ignite.config import AugmentConfig, load_config
from spine_ignite.errors import UsageError
from spine_ignite.inference.views import View

TRANSFORMS = [name for name in AugmentConfig.model_fields if name not in ("enabled", "torchio", "drop_contrast")]


def only(**sections: dict[str, Any]) -> AugmentConfig:
    return AugmentConfig.model_validate({name: {"p": 0.0} for name in TRANSFORMS} | sections)


def everything() -> AugmentConfig:
    return AugmentConfig.model_validate({name: {"p": 1.0} for name in TRANSFORMS if name not in ("remap", "tissue")})


def batch(rows: int = 6, contrasts: int = 3, slices: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(rows, contrasts * slices, 32, 24, generator=generator)
    return image, torch.randint(0, 3, (rows, 32, 24), generator=generator, dtype=torch.uint8)


def test_contrasts_are_left_out_as_often_as_wanted_and_never_all() -> None:
    image, label = batch(rows=400)
    augment = BatchAugmenter(only(drop_contrast={"p": 0.4}), 0, contrasts=3)
    found = missing_contrasts(augment(image, label, 5)[0], 3)
    # All three at once would be 0.064 of the rows; then one stays, so that each is missing in 0.4 - 0.064 / 3 of them.
    assert float(found.float().mean()) == pytest.approx(0.4 - 0.064 / 3, abs=4 * (0.24 / 1200) ** 0.5)
    assert not found.all(dim=1).any()
    always = missing_contrasts(BatchAugmenter(only(drop_contrast={"p": 1}), 0, contrasts=3)(image, label, 5)[0], 3)
    assert (always.sum(dim=1) == 2).all()
    assert len({tuple(row) for row in always.tolist()}) == 3, "which one stays is random"


def test_what_is_left_out_depends_on_seed_iteration_and_row_alone() -> None:
    image, label = batch(rows=8)
    augment = BatchAugmenter(
        everything().model_copy(update={"drop_contrast": only(drop_contrast={"p": 0.5}).drop_contrast}), 3, contrasts=3
    )
    whole, _ = augment(image, label, 7)
    augment(image, label, 8)
    torch.testing.assert_close(augment(image, label, 7)[0], whole, rtol=0, atol=0)
    rows = [1, 4, 6]
    part, _ = augment(image[rows], label[rows], 7, rows, 8)
    torch.testing.assert_close(part, whole[rows], rtol=0, atol=1e-6)
    assert not torch.equal(missing_contrasts(augment(image, label, 8)[0], 3), missing_contrasts(whole, 3))


def test_a_missing_contrast_stays_missing_and_one_that_is_there_stays() -> None:
    image, label = batch(rows=20, contrasts=2, slices=3)
    image[::2, :3] = 0
    config = everything().model_copy(update={"drop_contrast": only(drop_contrast={"p": 1.0}).drop_contrast})
    out, _ = BatchAugmenter(config, 0, contrasts=2)(image, label, 1)
    found = missing_contrasts(out, 2)
    assert found[::2, 0].all()
    assert not found[::2, 1].any(), "the only one that is there is not left out"
    assert (found[1::2].sum(dim=1) == 1).all()


def test_contrasts_move_together_and_are_recoloured_apart() -> None:
    image, label = batch(rows=4, contrasts=1)
    twice = image.repeat(1, 2, 1, 1)
    moved, _ = BatchAugmenter(only(affine={"p": 1}, elastic={"p": 1}, flip={"p": 1}), 0, contrasts=2)(twice, label, 1)
    torch.testing.assert_close(moved[:, 0], moved[:, 1], rtol=0, atol=0)
    recoloured, _ = BatchAugmenter(only(gamma={"p": 1}), 0, contrasts=2)(twice, label, 1)
    assert not torch.allclose(recoloured[:, 0], recoloured[:, 1])
    alone, _ = BatchAugmenter(only(gamma={"p": 1}), 0)(image, label, 1)
    torch.testing.assert_close(recoloured[:, :1], alone, rtol=0, atol=0)


def test_outside_an_image_each_contrast_has_its_own_minimum() -> None:
    image = torch.stack([torch.full((8, 8), -1.0), torch.zeros(8, 8)])[None]
    away = torch.full((1, 8, 8, 2), 5.0)
    torch.testing.assert_close(warp_image(image, away, 2), image)


def test_neighbours_are_reversed_within_each_contrast() -> None:
    image = torch.arange(6.0).view(1, 6, 1, 1).expand(1, 6, 4, 4).contiguous() + 1
    label = torch.zeros(1, 4, 4, dtype=torch.uint8)
    config = only(flip={"p": 0, "neighbours": 1.0})
    expected = [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]
    assert BatchAugmenter(config, 0, contrasts=2)(image, label, 0)[0][0, :, 0, 0].tolist() == expected
    assert View(neighbours=True, contrasts=2).show(image)[0, :, 0, 0].tolist() == expected


def test_nothing_to_leave_out_is_told() -> None:
    with pytest.raises(UsageError, match=r"augment\.drop_contrast leaves contrasts out, and needs two or more"):
        load_config(None, ["augment.drop_contrast.p=0.3", "data.contrasts=[t1]"])
    with pytest.raises(UsageError, match=r"contrasts names t1 twice"):
        load_config(None, ["data.contrasts=[t1,T1]"])
    assert (
        load_config(None, ["data.contrasts=[t1,t2]", "data.context_slices=1", "data.in_channels=6"]).data.channels == 6
    )
