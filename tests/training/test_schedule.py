from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from spine_ignite.config import OptimizerConfig, ScheduleConfig
from spine_ignite.errors import RunError
from spine_ignite.training.optimizers import create_optimizer
from spine_ignite.training.schedule import LearningRateSchedule, rate

Install = Callable[..., Path]
NEGATIVE = f"Component('negative', '{__name__}:negative', 'Below zero')"


def test_the_formulas() -> None:
    def at(progress: float, **options: Any) -> float:
        return rate(ScheduleConfig.model_validate({"warmup": 0.0, **options}), progress)

    assert at(0.25, name="poly", power=0.9) == pytest.approx(0.75**0.9)
    assert at(0.25, name="cosine") == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert at(1.0, name="cosine", final=0.1) == pytest.approx(0.1)
    assert [at(x, name="step", step_share=0.25, gamma=0.5) for x in (0, 0.24, 0.25, 0.99)] == [1, 1, 0.5, 0.125]
    assert [at(x, name="step", milestones=(0.5, 0.75), gamma=0.1) for x in (0, 0.49, 0.5, 0.75, 0.99)] == pytest.approx(
        [1, 1, 0.1, 0.01, 0.01]
    )
    assert at(0.7, name="constant") == 1.0


def test_milestones_rise() -> None:
    for milestones in ([0.5, 0.5], [0.6, 0.5], [0.0], [1.0]):
        with pytest.raises(ValidationError, match=r"shares of training above 0 that rise|less than 1"):
            ScheduleConfig.model_validate({"name": "step", "milestones": milestones})


@given(name=st.sampled_from(["constant", "step", "poly", "cosine"]), warmup=st.floats(0.01, 0.5))
def test_warm_up_rises_to_the_peak_and_the_rest_never_exceeds_it(name: str, warmup: float) -> None:
    config = ScheduleConfig.model_validate({"name": name, "warmup": warmup})
    assert rate(config, 0.0) == 0.0
    assert rate(config, warmup / 2) == pytest.approx(0.5)
    assert rate(config, warmup) == pytest.approx(1.0)
    values = [rate(config, warmup + (1 - warmup) * k / 50) for k in range(51)]
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(values))


def test_the_optimizer_is_driven_by_progress_and_vectors_do_not_decay() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = create_optimizer(network, OptimizerConfig(lr=0.1, weight_decay=0.5))
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decays[id(p)] for p in network.parameters()] == [0.5, 0.0, 0.0, 0.0]
    progress = [0.5]
    schedule = LearningRateSchedule(optimizer, ScheduleConfig(name="poly", power=1, warmup=0), lambda: progress[0])
    schedule(None)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.05]
    progress[0] = 0.9
    schedule(None)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


def negative(t: float) -> float:
    return -1.0


def sawtooth(t: float, teeth: int = 2) -> float:
    return 1 - (t * teeth) % 1


def test_a_plugin_s_schedule_follows_the_warm_up(install: Install) -> None:
    install("acme", register_schedules=[f"Component('saw', '{__name__}:sawtooth', 'Teeth')", NEGATIVE])
    config = ScheduleConfig(name="saw", warmup=0.2, options={"teeth": 4})
    assert rate(config, 0.1) == pytest.approx(0.5)
    assert rate(config, 0.3) == pytest.approx(0.5)
    with pytest.raises(RunError, match=r"schedule 'negative' of acme 1.0 must give a factor .* and gives -1.0"):
        rate(ScheduleConfig(name="negative"), 0.5)
