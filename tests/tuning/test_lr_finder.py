from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import RunError, UsageError
from spine_ignite.training.run import train
from spine_ignite.training.setup import Run
from spine_ignite.tuning import lr_finder
from spine_ignite.tuning.lr_finder import RateCurve, find_learning_rate, plot_curve


def config(root: Path, *overrides: str) -> RunConfig:
    return load_config(
        None,
        [
            f"data.root={root}",
            "data.scheme=lumbar-vertebrae",
            "data.spacing=[2, 2]",
            "data.batch_size=2",
            "model.width=4",
            "model.depth=3",
            "train.epochs=3",
            "precision=fp32",
            "threads=1",
            "log.tensorboard=false",
            *overrides,
        ],
    )


def test_rates_rise_evenly_on_a_logarithmic_scale_and_are_those_of_the_updates(
    tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told by the weights themselves: Adam's first update without decay moves each by its rate."""
    runs: list[Run] = []
    build = lr_finder.build
    monkeypatch.setattr(lr_finder, "build", lambda *a: runs.append(build(*a)) or runs[0])
    seen: list[float] = []
    ratios: set[float] = set()

    def look() -> None:
        rates = [float(group["lr"]) for group in runs[0].optimizer.param_groups]
        seen.append(max(rates))
        ratios.update(round(rate / max(rates), 6) for rate in rates)

    settings = config(tiny_dataset, "optimizer.lr_factors={encoder: 0.1}")
    curve = find_learning_rate(settings, start=1e-5, end=1.0, steps=50, diverge=1e9, on_step=look)
    assert len(curve.rates) == len(curve.losses) == 51
    np.testing.assert_allclose(np.diff(np.log(curve.rates[1:])), math.log(1e5) / 50, rtol=1e-4)
    assert curve.rates[0] == pytest.approx(1e-5, rel=0.3)
    assert curve.rates[-1] == pytest.approx(1.0, rel=0.3)
    np.testing.assert_allclose(seen, curve.rates, rtol=1e-9)
    assert ratios == {1.0, 0.1}, "a part keeps its factor throughout"


def test_the_suggestion_is_where_the_loss_falls_fastest_and_training_with_it_works(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    settings = config(tiny_dataset, "augment.enabled=false")
    curve = find_learning_rate(settings)
    descent = np.gradient(curve.losses[: int(np.argmin(curve.losses)) + 1])
    assert curve.rates.index(curve.suggestion) == pytest.approx(int(descent.argmin()), abs=1)
    assert 1e-4 < curve.suggestion < curve.lowest <= 10
    found = {}
    for rate in (curve.suggestion, curve.suggestion / 1000):
        sets = [f"optimizer.lr={rate}", "augment.enabled=false", "train.steps_per_epoch=20"]
        found[rate] = train(config(tiny_dataset, *sets), tmp_path / f"{rate}", echo=lambda line: None).best_dice
    assert found[curve.suggestion] > found[curve.suggestion / 1000] + 0.1


def test_a_loss_that_overflows_ends_the_test_as_diverged(tiny_dataset: Path) -> None:
    settings = config(tiny_dataset, "optimizer.name=sgd", "train.clip_norm=null", "model.norm=none", "loss.name=ce")
    curve = find_learning_rate(settings, start=1e-4, end=1e6, diverge=1e30, steps=60)
    assert curve.diverged
    assert curve.suggestion < 10
    assert len(curve.rates) < 61
    assert all(math.isfinite(loss) for loss in curve.losses)


def test_an_accumulated_update_counts_as_one(tiny_dataset: Path) -> None:
    batches: list[None] = []
    find_learning_rate(
        config(tiny_dataset, "train.accumulate=3"), steps=20, diverge=1e9, on_step=lambda: batches.append(None)
    )
    assert len(batches) == 61


def test_the_same_configuration_gives_the_same_curve_and_nothing_is_written(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    first, second = (find_learning_rate(config(tiny_dataset, "model.dropout=0.1"), steps=20) for _ in range(2))
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_cannot_be_tested_is_told_in_a_sentence(tiny_dataset: Path) -> None:
    with pytest.raises(UsageError, match="the range test needs 0 < start < end, got --start 1 and --end 0.1"):
        find_learning_rate(config(tiny_dataset), start=1.0, end=0.1)
    with pytest.raises(UsageError, match="--diverge must be above 1, got 0.5"):
        find_learning_rate(config(tiny_dataset), diverge=0.5)
    with pytest.raises(RunError, match="the loss did not come down in 31 batches with learning rates from"):
        find_learning_rate(config(tiny_dataset, "data.foreground_share=1"), start=1e-12, end=1e-11, steps=30)
    with pytest.raises(RunError, match="the loss did not come down"):
        find_learning_rate(config(tiny_dataset, "model.norm=none", "train.clip_norm=null"), start=1e20, end=1e30)


def test_the_picture_shows_the_curve(tmp_path: Path) -> None:
    rates = [10.0**-n for n in range(6, 0, -1)]
    plot_curve(RateCurve(rates, [3.0, 2.9, 2.5, 1.5, 1.2, 4.0], 1e-3, True), tmp_path / "lr.png")
    picture = np.asarray(Image.open(tmp_path / "lr.png").convert("RGB")).astype(int)
    red = picture[..., 0] - picture[..., 1:].max(-1) > 60
    columns = np.flatnonzero(red.sum(0) > 50)
    assert picture.shape[1] > 600
    assert len(columns)
    assert columns.max() - columns.min() < 5, "one upright line at the suggestion"


def test_a_curve_draws_itself() -> None:
    curve = RateCurve([1e-4, 1e-3, 1e-2], [2.0, 1.0, 1.5], 1e-4, False)
    (axes,) = curve.plot().axes
    assert list(axes.lines[0].get_ydata()) == curve.losses
    assert curve.plot()._repr_png_().startswith(b"\x89PNG")
