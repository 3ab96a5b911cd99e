from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import monai.losses
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_ignite.config import LossConfig, load_config
from spine_ignite.errors import UsageError
from spine_ignite.losses.criterion import create_loss
from spine_ignite.registry import load_registry
from spine_ignite.spec import Aux, ModelOutput
from spine_ignite.training.run import resume, train

Install = Callable[..., Path]
Stopped = Callable[[int], AbstractContextManager[None]]


def example(seed: int, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(3, classes, 12, 10, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, classes, (3, 12, 10), generator=generator, dtype=torch.uint8)


@settings(max_examples=25)
@given(seed=st.integers(0, 999), batch=st.booleans(), background=st.booleans(), squared=st.booleans())
def test_dice_and_dice_ce_are_monai_s(seed: int, batch: bool, background: bool, squared: bool) -> None:
    """Value and gradient, to rounding. MONAI's smoothing terms are set to ours."""
    options: dict[str, Any] = {
        "batch": batch,
        "include_background": background,
        "skip_absent": False,
        "squared": squared,
    }
    monai_options = {
        "batch": batch,
        "include_background": background,
        "squared_pred": squared,
        "softmax": True,
        "to_onehot_y": True,
        "smooth_nr": 1e-5,
        "smooth_dr": 1e-5,
    }
    for name, reference in (
        ("dice", monai.losses.DiceLoss(**monai_options)),
        ("dice_ce", monai.losses.DiceCELoss(**monai_options)),
    ):
        ours_in, theirs_in = (example(seed)[0].float().requires_grad_() for _ in range(2))
        label = example(seed)[1]
        ours = create_loss(LossConfig(name=name, options=options), 5)(ours_in, label).total
        theirs = reference(theirs_in, label[:, None].long())
        ours.backward()
        theirs.backward()
        assert float(ours) == pytest.approx(float(theirs), abs=1e-6)
        torch.testing.assert_close(ours_in.grad, theirs_in.grad, rtol=1e-4, atol=1e-7)


def test_a_class_that_the_batch_lacks_costs_nothing_in_soft_dice() -> None:
    """The loss of five classes of which one is absent equals that of the other four, whatever it was given."""
    logits, label = example(3)
    label[label == 4] = 0
    five = create_loss(LossConfig(name="dice", options={"skip_absent": True}), 5)
    probabilities = logits.float().softmax(1)
    present = [k for k in (1, 2, 3) if (label == k).any()]
    ratios = []
    for k in present:
        p, g = probabilities[:, k], (label == k).float()
        ratios.append(float((2 * (p * g).sum() + 1e-5) / (p.sum() + g.sum() + 1e-5)))
    assert float(five(logits, label).total) == pytest.approx(1 - sum(ratios) / len(ratios), abs=1e-6)
    nothing = torch.zeros_like(label)
    assert float(five(logits, nothing).total) == 0.0


@pytest.mark.parametrize("name", sorted(item.value.name for item in load_registry().components("loss")))
def test_every_loss_falls_along_its_gradient(name: str) -> None:
    logits, label = example(0)
    logits = logits.float().requires_grad_()
    criterion = create_loss(LossConfig(name=name), 5)
    before = criterion(logits, label).total
    before.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    step = 1e-2 * logits.grad / logits.grad.norm()
    assert float(criterion(logits.detach() - step, label).total) < float(before)


@pytest.mark.parametrize("name", ["dice", "dice_ce", "tversky", "generalised_dice"])
def test_a_perfect_answer_costs_almost_nothing(name: str) -> None:
    label = example(0)[1]
    perfect = 40 * torch.nn.functional.one_hot(label.long(), 5).permute(0, 3, 1, 2).float()
    assert float(create_loss(LossConfig(name=name), 5)(perfect, label).total) < 1e-3


def test_deep_supervision_and_penalties_add_up() -> None:
    logits, label = example(1)
    coarse = logits.float()[..., ::2, ::2]
    criterion = create_loss(LossConfig(), 5)
    output = ModelOutput(logits.float(), {"half": Aux(coarse, 0.4)}, {"kl": torch.tensor(0.25)})
    resized = torch.nn.functional.interpolate(coarse, (12, 10), mode="bilinear", align_corners=False)
    main, aux = (criterion(x, label).total for x in (logits.float(), resized))
    value = criterion(output, label)
    assert float(value.total) == pytest.approx(float(main + 0.4 * aux + 0.25), abs=1e-6)
    assert value.parts.keys() == {"main", "aux/half", "penalty/kl"}


def free_options(num_classes: int, **options: Any) -> torch.nn.Module:
    return torch.nn.Softmax(options["axis"])


class OneOfEach(torch.nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return logits.mean((1, 2, 3))


def component(name: str, target: object) -> str:
    return f"Component('{name}', '{__name__}:{target.__name__}', 'a loss')"  # type: ignore[attr-defined]


def stretched(coarse: torch.Tensor, size: tuple[int, int], align_corners: bool) -> torch.Tensor:
    """Bilinear interpolation: for each pixel the weighted mean of the two nearest rows and columns."""
    axes = []
    for wanted, there in zip(size, coarse.shape[-2:], strict=True):
        weights = torch.zeros(wanted, there, dtype=coarse.dtype)
        for pixel in range(wanted):
            place = pixel * (there - 1) / (wanted - 1) if align_corners else (pixel + 0.5) * there / wanted - 0.5
            place = min(max(place, 0.0), there - 1.0)
            low = min(int(place), there - 2)
            weights[pixel, low] += low + 1 - place
            weights[pixel, low + 1] += place - low
        axes.append(weights)
    return torch.einsum("yi,xj,bkij->bkyx", *axes, coarse)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(3, 4), (5, 10), (12, 7)])
def test_auxiliary_logits_are_resized_as_the_architecture_says(align_corners: bool, size: tuple[int, int]) -> None:
    """Value and gradient against a plain reference in float64: cross-entropy with the label, and with its borders."""
    main, label = example(4)
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(3, 5, *size, generator=generator, dtype=torch.float64)
    edge = torch.randn(3, 1, *size, generator=generator, dtype=torch.float64)
    ours, theirs = ([x.clone().requires_grad_() for x in (coarse, edge)] for _ in range(2))

    criterion = create_loss(LossConfig(name="ce"), 5, align_corners)
    output = ModelOutput(main, {"coarse": Aux(ours[0], 0.4), "edge": Aux(ours[1], 1.5, "edge")})
    found = criterion(output, label).total
    found.backward()

    def cross_entropy(logits: torch.Tensor) -> torch.Tensor:
        return -logits.log_softmax(1).gather(1, label.long()[:, None]).mean()

    borders = torch.zeros(3, 1, 12, 10, dtype=torch.float64)
    for image, y, x in np.ndindex(3, 12, 10):
        around = label[image, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        borders[image, 0, y, x] = len(around.unique()) > 1
    probability = stretched(theirs[1], (12, 10), align_corners).sigmoid()
    of_edge = -(borders * probability.log() + (1 - borders) * (1 - probability).log()).mean()
    expected = cross_entropy(main) + 0.4 * cross_entropy(stretched(theirs[0], (12, 10), align_corners)) + 1.5 * of_edge
    expected.backward()

    assert float(found) == pytest.approx(float(expected), rel=1e-6)
    for mine, plain in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, plain.grad, rtol=1e-5, atol=1e-8)


def test_a_plugin_s_loss_must_give_one_number(install: Install) -> None:
    """A loss with free options is a plugin's business, but what it returns is tried before training."""
    install("acme", register_losses=[component("mine", free_options), component("rows", OneOfEach)])
    with pytest.raises(UsageError, match="loss.options of 'mine' are refused"):
        create_loss(LossConfig(name="mine", options={"axis": 1}), 5)
    with pytest.raises(UsageError, match="the loss must be one number, got a tensor of shape"):
        create_loss(LossConfig(name="rows"), 5)


def test_half_precision_logits_are_judged_in_float32() -> None:
    logits, label = example(2)
    criterion = create_loss(LossConfig(), 5)
    half = logits.bfloat16()
    assert criterion(half, label).total.dtype is torch.float32
    assert float(criterion(half, label).total) == pytest.approx(float(criterion(half.float(), label).total))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LossConfig(name="dise"), "there is no loss 'dise'. Did you mean 'dice'?"),
        (LossConfig(name="dice", options={"smoth": 1}), "no option 'smoth'. Did you mean 'smooth'? Options: batch,"),
        (LossConfig(name="tversky", options={"alpa": 1}), "no option 'alpa'. Did you mean 'alpha'? Options: alpha,"),
        (LossConfig(name="tversky", options={"softmax": False}), "'tversky' are refused: there is no option 'softmax'"),
        (LossConfig(name="focal", options={"reduction": "none"}), "'focal' are refused: there is no option"),
        (LossConfig(name="focal", options={"gamma": "two"}), "loss.options of 'focal' are refused"),
        (LossConfig(name="dice", options={"smooth": "a bit"}), "loss.options of 'dice' are refused"),
        (LossConfig(name="ce", options={"weight": [1.0]}), "weight needs 5 numbers, got 1"),
    ],
)
def test_a_wrong_loss_is_refused(config: LossConfig, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_loss(config, 5)
    assert message in str(caught.value)


class Weighted(torch.nn.Module):
    """Cross-entropy with a trained temperature, which counts the steps that it is trained with."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.temperature = torch.nn.Parameter(torch.ones(()))
        self.register_buffer("weight", torch.ones(num_classes))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.steps += 1
        loss = torch.nn.functional.cross_entropy(logits / self.temperature, label.long(), self.weight)
        return loss + self.temperature.log().square()


@pytest.fixture
def weighted(install: Install) -> LossConfig:
    install("acme", register_losses=[component("weighted", Weighted)])
    return LossConfig(name="weighted")


def test_trying_a_loss_leaves_nothing_in_it(weighted: LossConfig) -> None:
    assert int(create_loss(weighted, 3).loss.steps) == 0


@pytest.mark.parametrize("stop", [None, 5])
def test_what_a_loss_holds_is_trained_saved_and_restored(
    weighted: LossConfig, tiny_dataset: Path, tmp_path: Path, stopped: Stopped, stop: int | None
) -> None:
    overrides = [
        f"data.root={tiny_dataset}", "data.scheme=lumbar-vertebrae", "data.batch_size=3", "model.width=4",
        "model.depth=3", "loss.name=weighted", "train.epochs=2", "train.steps_per_epoch=4", "precision=fp32",
        "threads=1", "optimizer.lr=0.01", "optimizer.weight_decay=0.9", "log.tensorboard=false",
    ]  # fmt: skip
    with stopped(stop) if stop is not None else nullcontext():
        train(load_config(None, overrides), tmp_path / "run", echo=lambda _line: None)
    if stop is not None:
        resume(tmp_path / "run", echo=lambda _line: None)
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)
    assert int(saved["loss"]["loss.steps"]) == 8, "validation leaves it alone"
    assert float(saved["loss"]["loss.temperature"]) != 1
    groups = [(len(group["params"]), group["weight_decay"]) for group in saved["optimizer"]["param_groups"]]
    assert groups[-1] == (1, 0.0)
    whole = tmp_path / "whole"
    train(load_config(None, overrides), whole, echo=lambda _line: None)
    other = torch.load(whole / "checkpoints" / "last.pt", weights_only=True)
    for part in ("loss", "model"):
        assert all(torch.equal(saved[part][name], other[part][name]) for name in other[part])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_what_a_loss_holds_goes_to_the_device(weighted: LossConfig, tiny_dataset: Path, tmp_path: Path) -> None:
    overrides = [
        f"data.root={tiny_dataset}", "data.scheme=lumbar-vertebrae", "data.batch_size=3", "model.width=4",
        "model.depth=3", "loss.name=weighted", "train.epochs=1", "device=cuda", "log.tensorboard=false",
    ]  # fmt: skip
    assert train(load_config(None, overrides), tmp_path / "run", echo=lambda _line: None).epochs == 1
