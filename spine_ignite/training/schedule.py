"""The learning rate as a function of the share of training that is done."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ignite.engine import Engine
from ignite.handlers.param_scheduler import ParamScheduler
from torch.optim import Optimizer

from spine_ignite.config import ScheduleConfig


def rate(config: ScheduleConfig, progress: float) -> float:
    """Return the factor on the peak learning rate at ``progress`` in [0, 1].

    Warm-up rises linearly over the first ``warmup`` share; what follows runs from 0 to 1 over the rest: ``poly`` is
    ``(1 - t)^power`` (Chen et al. 2018), ``cosine`` is ``f + (1 - f)(1 + cos(pi t)) / 2`` with ``f`` the final share
    (Loshchilov & Hutter 2017), ``step`` is ``gamma^floor(t / step_share)``, ``constant`` is 1.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < config.warmup:
        return progress / config.warmup
    t = (progress - config.warmup) / (1 - config.warmup)
    if config.name == "poly":
        return float((1 - t) ** config.power)
    if config.name == "cosine":
        return config.final + (1 - config.final) * (1 + math.cos(math.pi * t)) / 2
    if config.name == "step":
        return float(config.gamma ** math.floor(t / config.step_share + 1e-9))
    return 1.0


class LearningRateSchedule(ParamScheduler):
    """Sets the rate of all parameter groups before each step; attach it to ``ITERATION_STARTED``.

    It keeps no state of its own: a resumed run has the right rate as soon as it has the right progress.

    Args:
        optimizer: its groups' current rates are the peak rates.
        config: the schedule.
        progress: gives the share of training that is done at the coming step.
    """

    def __init__(self, optimizer: Optimizer, config: ScheduleConfig, progress: Callable[[], float]) -> None:
        super().__init__(optimizer, "lr")
        self.config = config
        self.progress = progress
        self.peaks = [float(group["lr"]) for group in optimizer.param_groups]

    def __call__(self, engine: Engine | None, name: str | None = None) -> None:
        """Set the rates."""
        for group, value in zip(self.optimizer_param_groups, self.get_param(), strict=True):
            group["lr"] = value

    def get_param(self) -> list[float]:
        """Return the rate of each group."""
        factor = rate(self.config, self.progress())
        return [peak * factor for peak in self.peaks]

    def state_dict(self) -> dict[str, Any]:
        """Return the peak rates."""
        return {"peaks": self.peaks}

    def load_state_dict(self, state_dict: Any) -> None:
        """Take the peak rates back."""
        self.peaks = [float(value) for value in state_dict["peaks"]]
