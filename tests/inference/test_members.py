from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spine_ignite.inference.members import Member, load_members
from spine_ignite.inference.network_sources import find_sources
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.views import View
from spine_ignite.labels import load_scheme
from spine_ignite.machine.precision import choose_precision
from spine_ignite.runs.checkpoints import TrainedNetwork
from spine_ignite.runs.description import Description

CPU = torch.device("cpu")
FP32 = choose_precision("fp32", CPU)
RunWriter = Callable[..., Path]
MIRRORS = (View(), View(columns=True), View(rows=True), View(columns=True, rows=True))


class Pointwise(nn.Module):
    """Two classes; the logits of a pixel depend on that pixel alone."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :1], x[:, :1].sin() - 1], 1)


class Place(nn.Module):
    """The logits of class 1 are the column in what the network is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shown.append(tuple(x.shape[-2:]))
        columns = torch.arange(x.shape[-1]).expand(len(x), 1, *x.shape[-2:]).float()
        return torch.cat([torch.zeros_like(columns), columns], 1)


def member(network: nn.Module, **others: Any) -> Member:
    description = Description("unet", {}, 1, load_scheme("lumbar-vertebrae"), (1.0, 1.0), (0.0, 100.0), 0, (8, 8))
    return Member(TrainedNetwork(network, description, Path("x.pt")), **others)


def test_mirrors_change_nothing_for_a_network_that_commutes_with_them() -> None:
    batch = torch.randn(3, 1, 20, 14)
    plain = member(Pointwise()).scores(batch, FP32).softmax(1)
    mirrored = member(Pointwise(), views=MIRRORS).scores(batch, FP32).softmax(1)
    torch.testing.assert_close(mirrored, plain)


def test_views_are_averaged_as_probabilities() -> None:
    batch = torch.randn(2, 1, 6, 9)
    views = (View(), View(columns=True))
    found = member(Place(), views=views).scores(batch, FP32).softmax(1)[0, 1, 0].numpy()
    columns = np.arange(9.0)
    expected = (1 / (1 + np.exp(-columns)) + 1 / (1 + np.exp(-columns[::-1]))) / 2
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_view_without_the_pixel_does_not_count_there() -> None:
    """A network that is certain when it sees an enlarged image: beyond the view's border only the plain one answers."""

    class Certain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            enlarged = x.amax() > 0
            logits = torch.zeros(len(x), 2, *x.shape[-2:])
            logits[:, 1] = 30.0 * float(enlarged)
            return logits

    batch = torch.full((1, 1, 40, 40), -1.0)
    batch[:, :, 19:21, 19:21] = 0.0

    class Brighter(View):
        def show(self, batch: Tensor) -> Tensor:
            return super().show(batch) + 2

    found = member(Certain(), views=(View(), Brighter(scale=2.0))).scores(batch, FP32).softmax(1)[0, 1].numpy()
    assert found[20, 20] == pytest.approx(0.75, abs=1e-6)
    assert found[2, 2] == pytest.approx(0.5, abs=1e-6)
    assert (found > 0.6).sum() == 20 * 20, "half of the rows and columns are in the enlarged view"


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.75])
def test_windows_change_nothing_for_a_pointwise_network(overlap: float) -> None:
    batch = torch.randn(3, 1, 45, 70)
    plain = member(Pointwise()).scores(batch, FP32)
    windowed = member(Pointwise(), window=(16, 24), overlap=overlap).scores(batch, FP32)
    torch.testing.assert_close(windowed, plain)
    torch.testing.assert_close(windowed.argmax(1), plain.argmax(1))


def test_overlapping_windows_are_weighted_by_a_gaussian() -> None:
    network = Place()
    found = member(network, window=(16, 16), overlap=0.5).scores(torch.zeros(1, 1, 16, 40), FP32)[0, 1].numpy()
    assert set(network.shown) == {(16, 16)}
    offsets = np.arange(16.0)
    bell = np.exp(-((offsets - 7.5) ** 2) / (2 * (16 / 8) ** 2))  # sigma is an eighth of the window
    weights = np.maximum(np.outer(bell, bell), 1e-3)  # at least this, so that a corner has any
    sums, total = np.zeros((16, 40)), np.zeros((16, 40))
    for start in (0, 8, 16, 24):
        sums[:, start : start + 16] += weights * offsets
        total[:, start : start + 16] += weights
    np.testing.assert_allclose(found, sums / total, atol=1e-4)


def test_a_window_larger_than_the_slice_is_the_slice() -> None:
    network = Place()
    member(network, window=(64, 30)).scores(torch.zeros(1, 1, 20, 40), FP32)
    member(network, window=(64, 64)).scores(torch.zeros(1, 1, 20, 40), FP32)
    assert set(network.shown) == {(20, 30), (20, 40)}


def test_what_is_not_given_each_run_decides(tmp_path: Path, write_run: RunWriter) -> None:
    patches = ["data.sampling=patches", "data.patch.size=[32,48]"]
    runs = [
        write_run(tmp_path / "plain", "predict.overlap=0.25"),
        write_run(tmp_path / "patches", *patches, "predict.tta=true", "augment.affine.p=0", "augment.flip.p=0.5"),
        write_run(tmp_path / "whole", *patches, "predict.window=whole"),
    ]

    def load(**options: Any) -> list[Member]:
        found = [source for path in runs for source in find_sources(path)]
        return load_members(found, InferenceOptions(**options), CPU)

    default = load()
    assert [m.window for m in default] == [None, (32, 48), None]
    assert [m.overlap for m in default] == [0.25, 0.5, 0.5]
    assert [len(m.views) for m in default] == [1, 2, 1]
    assert [len(m.views) for m in load(tta=True)] == [5, 2, 5]
    assert {m.window for m in load(window="whole", overlap=0)} == {None}
    assert {(m.window, m.overlap) for m in load(window=(20, 30), overlap=0)} == {((20, 30), 0)}
    both = load(checkpoints=("best", "last"), tta=False)
    assert [m.trained.path.name for m in both] == ["best.pt", "last.pt"] * 3
    records = [m.record() for m in both]
    assert len({record["weights"] for record in records[:2]}) == 2, "best.pt and last.pt differ"
    assert records[2]["weights"] == records[4]["weights"], "the same file"
