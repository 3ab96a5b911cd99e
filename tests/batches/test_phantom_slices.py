from __future__ import annotations

import torch

from spine_ignite.batches.phantom_slices import make_slices


def test_slices_show_all_four_tissues_and_depend_on_the_seed_alone() -> None:
    images, labels = make_slices(count=2)
    assert images.shape == (2, 1, 64, 64)
    assert labels.shape == (2, 64, 64)
    assert labels.dtype is torch.uint8
    for label in labels:
        assert (torch.bincount(label.flatten().long(), minlength=4) > 100).all()
    again, _ = make_slices(count=2)
    assert torch.equal(images, again)
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images, make_slices(count=2, seed=1)[0])


def test_bone_and_disc_look_different_from_fat() -> None:
    """Labels lie on the structures: the mean of each tissue differs from the others'."""
    images, labels = make_slices()
    means = [float(images[:, 0][labels == tissue].mean()) for tissue in range(4)]
    assert max(means[1:]) < means[0]
