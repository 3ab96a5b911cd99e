from __future__ import annotations

import pytest
import torch
import torchio as tio

from spine_ignite.batches.augment.torchio_transforms import apply_torchio, resolve_torchio
from spine_ignite.errors import UsageError

IMAGE = torch.linspace(-1, 1, 2 * 24 * 20).reshape(2, 24, 20, 1)
LABEL = (IMAGE[1:] > 0.5).to(torch.uint8)


def test_transforms_are_built_in_their_order_with_their_arguments() -> None:
    built = resolve_torchio([{"RandomNoise": {"std": 0.5}}, {"RandomFlip": {}}])
    assert [type(step) for step in built.transforms] == [tio.RandomNoise, tio.RandomFlip]
    assert built.transforms[0].std_range[1] == 0.5


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"RandomNois": {}}, "no transform 'RandomNois'. Did you mean 'RandomNoise'?"),
        ({"Subject": {}}, "no transform 'Subject'"),
        ({"Lambda": {}}, "no transform 'Lambda'"),
        ({"RandomNoise": {"sigma": 1}}, "RandomNoise refuses its arguments"),
        ({"RandomNoise": {"std": -1}}, "RandomNoise refuses its arguments"),
        ({"RandomNoise": {}, "RandomFlip": {}}, "each entry is one transform"),
    ],
)
def test_what_does_not_exist_is_refused(entry: dict[str, dict[str, object]], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_torchio([entry])
    assert message in str(caught.value)


def test_randomness_comes_from_the_seed_alone() -> None:
    transform = resolve_torchio([{"RandomAffine": {}}, {"RandomNoise": {"std": 1}}])
    before = IMAGE.clone(), LABEL.clone()
    torch.manual_seed(5)
    first = apply_torchio(transform, IMAGE, LABEL, seed=3)
    assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(5)))
    again = apply_torchio(transform, IMAGE, LABEL, seed=3)
    other = apply_torchio(transform, IMAGE, LABEL, seed=4)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(IMAGE, before[0])
    assert torch.equal(LABEL, before[1])
    assert first[1].dtype == torch.uint8


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("CropOrPad", {"target_shape": (8, 8, 1)}, "must keep the shape"),
        ("OneHot", {}, "must keep the shape"),
        ("RandomSwap", {"patch_size": 64}, "cannot be applied"),
    ],
)
def test_a_transform_that_does_not_fit_is_refused(name: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        apply_torchio(resolve_torchio([{name: arguments}]), IMAGE, LABEL, seed=0)
