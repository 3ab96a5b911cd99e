from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from ignite.metrics import Accuracy
from torch import Tensor, nn

from spine_ignite.config.sections import Named, TrainConfig
from spine_ignite.errors import RunError, UsageError
from spine_ignite.machine.precision import choose_precision
from spine_ignite.registry import load_registry
from spine_ignite.training.evaluator import create_evaluator

Install = Callable[..., Path]
CPU = torch.device("cpu")
NAMES = ["background", "L5", "L4"]


class Oracle(nn.Module):
    """Answers with the class that the image itself shows."""

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.one_hot(image[:, 0].long(), 3).permute(0, 3, 1, 2).float()


class TopTwo(Accuracy):
    """Share of pixels whose class is among the two most likely."""

    def update(self, output: Any) -> None:
        scores, label = output
        best = scores.topk(2, 1).indices
        super().update(((best == label[:, None]).any(1).long().flatten(), torch.ones(label.numel(), dtype=torch.long)))


def errors(confusion: Tensor, cost: float = 1.0) -> float:
    return cost * float(confusion.sum() - confusion.diagonal().sum())


def found(confusion: Tensor) -> Tensor:
    return confusion.sum(0).double()


def nonsense(confusion: Tensor) -> list[int]:
    return [1]


def component(name: str, target: str = "") -> str:
    return f"Component('{name}', '{__name__}:{target or name}', 'a metric')"


@pytest.fixture
def evaluator(install: Install) -> Callable[..., Engine]:
    things = [component(name) for name in ("TopTwo", "errors", "found", "nonsense")]
    things = [thing.replace("'TopTwo'", "'top_two'", 1) for thing in things]
    install("acme", register_metrics=[*things, component("loss", "errors")])

    def make(*named: Any) -> Engine:
        chosen = TrainConfig.model_validate({"metrics": named}).metrics
        return create_evaluator(Oracle(), NAMES, device=CPU, precision=choose_precision("fp32", CPU), metrics=chosen)

    return make


def batch(seen: int, label: int) -> dict[str, Tensor]:
    return {"image": torch.full((2, 1, 4, 4), float(seen)), "label": torch.full((2, 4, 4), label, dtype=torch.uint8)}


DATA = [batch(1, 1), batch(2, 0), batch(1, 2)]


def test_metrics_of_plugins_stand_beside_the_core_s(evaluator: Callable[..., Engine]) -> None:
    named = ["top_two", {"name": "errors", "options": {"cost": 0.5}}, "acme:found", "dice"]
    measured = evaluator(*named).run(DATA).metrics
    assert measured["errors"] == 0.5 * 64
    assert (measured["found/L5"], measured["found/L4"], measured["found"]) == (64, 32, 48)
    # Of equal scores the lower class comes first: of what is L4 and seen as L5, background is the second.
    assert measured["top_two"] == pytest.approx(2 / 3)
    plain = evaluator().run(DATA).metrics
    assert {name: measured[name] for name in plain if name != "confusion"} == pytest.approx(
        {name: value for name, value in plain.items() if name != "confusion"}, nan_ok=True
    )


def test_a_metric_that_cannot_be_recorded_is_refused(evaluator: Callable[..., Engine]) -> None:
    with pytest.raises(UsageError, match="metric 'loss' of acme 1.0 cannot be recorded: the name is taken"):
        evaluator("loss")
    with pytest.raises(UsageError, match="metric 'errors' of acme 1.0 cannot be recorded: the name is taken"):
        evaluator("errors", "errors")
    with pytest.raises(UsageError, match="there is no metric 'error'. Did you mean 'errors'"):
        evaluator("error")
    with pytest.raises(RunError, match="metric 'nonsense' of acme 1.0 must give a number, or a tensor of one for each"):
        evaluator("nonsense").run(DATA)


def test_names_may_stand_for_themselves() -> None:
    assert TrainConfig.model_validate({"metrics": ["a"]}).metrics == (Named(name="a"),)
    dumped = TrainConfig(metrics=(Named(name="a"),)).model_dump(mode="json")
    assert TrainConfig.model_validate(dumped).metrics == (Named(name="a"),)


def test_the_core_registers_what_it_measures() -> None:
    registered = {item.value.name for item in load_registry().components("metric")}
    assert registered == {"dice", "iou", "recall", "fnr", "fpr", "pixel_accuracy"}
