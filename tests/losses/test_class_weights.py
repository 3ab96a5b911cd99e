from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from spine_ignite.config import LossConfig, load_config
from spine_ignite.errors import UsageError
from spine_ignite.losses.class_weights import balanced, weights_in_order
from spine_ignite.losses.criterion import create_loss
from spine_ignite.losses.cross_entropy import cross_entropy
from spine_ignite.registry import load_registry
from spine_ignite.training.run import resume, train

Install = Callable[..., Path]
CLASSES = 4
WEIGHTS = [0.5, 1.0, 2.5, 4.0]
NAMES = sorted(item.value.name for item in load_registry().components("loss"))


def example(name: str, weight: list[float] | None) -> float:
    generator = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(2, CLASSES, 8, 8, generator=generator)
    label = torch.randint(0, CLASSES, (2, 8, 8), generator=generator, dtype=torch.uint8)
    return float(create_loss(LossConfig(name=name), CLASSES, weight=weight)(logits, label).total)


def only(index: int) -> list[float]:
    return [float(k == index) for k in range(CLASSES)]


@pytest.mark.parametrize("name", NAMES)
def test_equal_weights_change_nothing_and_others_do(name: str) -> None:
    assert example(name, [1.0] * CLASSES) == pytest.approx(example(name, None), rel=1e-5)
    assert example(name, WEIGHTS) != pytest.approx(example(name, None), rel=1e-3)


@pytest.mark.parametrize("name", ["dice", "structure"])
def test_our_losses_of_classes_are_weighted_means_of_them(name: str) -> None:
    """Of the structures: the background has no part in either."""
    parts = [example(name, only(k)) for k in range(1, CLASSES)]
    assert len({round(part, 6) for part in parts}) == 3
    assert example(name, WEIGHTS) == pytest.approx(np.average(parts, weights=WEIGHTS[1:]), rel=1e-5)
    assert example(name, [9.0, *WEIGHTS[1:]]) == pytest.approx(example(name, WEIGHTS), rel=1e-6)


@pytest.mark.parametrize("name", ["focal", "tversky", "dice_focal", "hausdorff_dt"])
def test_monai_s_losses_are_sums_of_their_classes_times_weight(name: str) -> None:
    total = sum(weight * example(name, only(k)) for k, weight in enumerate(WEIGHTS) if k or name == "focal")
    assert example(name, WEIGHTS) == pytest.approx(total, rel=1e-5)


def test_weights_multiply_those_by_volume_of_generalised_dice() -> None:
    """Sudre et al. (2017), with MONAI's ``1 / volume^2``, of three structures over the batch."""
    generator = torch.Generator().manual_seed(3)
    p = (2 * torch.randn(2, CLASSES, 8, 8, generator=generator)).softmax(1)
    label = torch.randint(0, CLASSES, (2, 8, 8), generator=generator, dtype=torch.uint8)
    above = below = 0.0
    for k in range(1, CLASSES):
        mask = label == k
        weight = WEIGHTS[k] / float(mask.sum()) ** 2
        above += 2 * weight * float(p[:, k][mask].sum())
        below += weight * float(mask.sum() + p[:, k].sum())
    assert example("generalised_dice", WEIGHTS) == pytest.approx(1 - above / below, rel=1e-4)


def test_cross_entropy_with_weights_is_their_weighted_mean() -> None:
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(2, CLASSES, 3, 3, generator=generator, dtype=torch.float64)
    label = torch.randint(0, CLASSES, (2, 3, 3), generator=generator)
    of_pixels = -logits.log_softmax(1).gather(1, label[:, None])[:, 0]
    weights = torch.tensor(WEIGHTS, dtype=torch.float64)[label]
    for known in (None, torch.ones(2, CLASSES, dtype=torch.bool)):
        found = cross_entropy(CLASSES, WEIGHTS).double()(logits, label, known)
        torch.testing.assert_close(found, (weights * of_pixels).sum() / weights.sum())


def test_rare_classes_weigh_the_root_of_their_rareness() -> None:
    """One voxel in 100 against 99 of the background: sqrt(100) to sqrt(100 / 99), and a mean of 1 over the voxels."""
    background, rare = balanced([[198, 2], [99, 1]], [None, None], 2)
    assert rare / background == pytest.approx(np.sqrt(99))
    assert 0.99 * background + 0.01 * rare == pytest.approx(1)


def test_a_share_is_of_the_masks_that_label_the_class() -> None:
    """A class of 1 % in the only mask that labels it is as rare as one of 1 % in all, and one without a voxel too."""
    weights = balanced([[980, 10, 10, 0], [990, 10, 0, 0]], [None, (1,)], 4)
    assert weights[1] == pytest.approx(weights[2])
    assert weights[3] == weights[2]
    assert balanced([], [], 3) == [1.0] * 3


@given(counts=st.lists(st.lists(st.integers(0, 10**6), min_size=3, max_size=3), min_size=1, max_size=5))
def test_weights_average_one_over_the_voxels(counts: list[list[int]]) -> None:
    weights = balanced(counts, [None] * len(counts), 3)
    voxels = np.sum(counts, axis=0)
    assert min(weights) > 0
    assert (voxels * weights).sum() == pytest.approx(voxels.sum())


class Plain(torch.nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(logits, label.long())


def test_weights_that_cannot_be_are_refused(install: Install) -> None:
    install("acme", register_losses=[f"Component('plain', '{__name__}:Plain', 'a loss')"])
    names = ("background", "L5", "L4", "L4/L5")
    assert weights_in_order(LossConfig(class_weights={"L4": 3}), names) == [1, 1, 3, 1]
    with pytest.raises(UsageError, match="loss.class_weights names 'L6', which is no class"):
        weights_in_order(LossConfig(class_weights={"L6": 3}), names)
    with pytest.raises(UsageError, match="gives every structure the weight 0"):
        weights_in_order(LossConfig(class_weights=dict.fromkeys(names[1:], 0)), names)
    with pytest.raises(UsageError, match="loss 'plain' cannot be used with loss.class_weights: options of loss"):
        create_loss(LossConfig(name="plain"), CLASSES, weight=WEIGHTS)
    with pytest.raises(UsageError, match="loss.class_weights and loss.options.weight both weigh classes"):
        create_loss(LossConfig(name="ce", options={"weight": WEIGHTS}), CLASSES, weight=WEIGHTS)


def test_a_run_records_the_weights_that_it_found(tiny_dataset: Path, tmp_path: Path) -> None:
    """They are those of its training cases; a resumed run, and one by the recorded configuration, has the same."""
    overrides = [
        f"data.root={tiny_dataset}", "data.scheme=lumbar-vertebrae", "data.batch_size=3", "model.width=4",
        "model.depth=3", "loss.class_weights=auto", "train.epochs=1", "train.steps_per_epoch=2", "precision=fp32",
        "threads=1", "log.tensorboard=false",
    ]  # fmt: skip
    train(load_config(None, overrides), tmp_path / "run", echo=lambda _line: None)
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["loss"]["class_weights"]
    assert kept["background"] < 1 < kept["L5"]
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)["loss"]
    assert saved["loss.dice.weight"].tolist() == pytest.approx(list(kept.values()))
    resume(tmp_path / "run", ["train.epochs=2"], echo=lambda _line: None)
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["loss"]["class_weights"] == kept
    with pytest.raises(UsageError, match="loss.class_weights names 'L55', which is no class. Classes: background, L5,"):
        train(load_config(None, [*overrides[:-6], "loss.class_weights={L55: 2}"]), tmp_path / "no", echo=print)
