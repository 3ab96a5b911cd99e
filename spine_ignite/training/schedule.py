"""The learning rate as a function of the share of training that is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers.param_scheduler import ParamScheduler
from torch.optim import Optimizer

from spine_ignite.config import ScheduleConfig
from spine_ignite.errors import RunError
from spine_ignite.registry import load_registry

# Options of the core's own schedules that have a key in the section.
_KEYS = {"step": ("step_share", "gamma", "milestones"), "poly": ("power",), "cosine": ("final",)}


def create_schedule(config: ScheduleConfig) -> Callable[[float], float]:
    """Return the factor on the peak learning rate as a function of the progress in [0, 1].

    Warm-up rises linearly over the first ``warmup`` share; what follows runs from 0 to 1 over the rest.

    Raises:
        UsageError: there is no such schedule, or an option is unknown or cannot be.
        RunError: a plugin's schedule fails, or gives no factor.
    """
    chosen = load_registry().choose("schedule", config.name, schedule_options(config))

    def curve(t: float) -> float:
        value = chosen(t)
        if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise RunError(f"{chosen} must give a factor on the learning rate of 0 or more, and gives {value!r}")
        return float(value)

    def factor(progress: float) -> float:
        progress = min(max(progress, 0.0), 1.0)
        if progress < config.warmup:
            return progress / config.warmup
        return curve((progress - config.warmup) / (1 - config.warmup))

    curve(0.0)  # what fails at once is told before training
    return factor


def schedule_options(config: ScheduleConfig) -> dict[str, Any]:
    """Return the options of a configured schedule; the core's own have keys in the section."""
    registry = load_registry()
    item = registry.component("schedule", config.name)
    keys = _KEYS.get(item.value.name, ()) if item.distribution == registry.core else ()
    return {**{key: getattr(config, key) for key in keys}, **config.options}


def rate(config: ScheduleConfig, progress: float) -> float:
    """Return the factor on the peak learning rate at ``progress`` in [0, 1]; see :func:`create_schedule`."""
    return create_schedule(config)(progress)


def constant(t: float) -> float:
    """Return 1."""
    return 1.0


def step(t: float, step_share: float = 0.1, gamma: float = 0.8, milestones: Sequence[float] = ()) -> float:
    """Return ``gamma`` to the power of the steps until ``t``: one each ``step_share``, or one at each milestone."""
    if milestones:
        return float(gamma ** sum(t >= milestone - 1e-9 for milestone in milestones))
    return float(gamma ** math.floor(t / step_share + 1e-9))


def poly(t: float, power: float = 0.9) -> float:
    """Return ``(1 - t)^power`` (Chen et al. 2018)."""
    return float((1 - t) ** power)


def cosine(t: float, final: float = 0.0) -> float:
    """Return ``f + (1 - f)(1 + cos(pi t)) / 2`` with ``f`` the final share (Loshchilov & Hutter 2017)."""
    return final + (1 - final) * (1 + math.cos(math.pi * t)) / 2


class LearningRateSchedule(ParamScheduler):
    """Sets the rate of all parameter groups before each step.

    It keeps no state of its own: a resumed run has the right rate as soon as it has the right progress.

    Args:
        optimizer: its groups' current rates are the peak rates.
        config: the schedule.
        progress: gives the share of training that is done at the coming step.
    """

    def __init__(self, optimizer: Optimizer, config: ScheduleConfig, progress: Callable[[], float]) -> None:
        super().__init__(optimizer, "lr")
        self.schedule = create_schedule(config)
        self.progress = progress
        self.peaks = [float(group["lr"]) for group in optimizer.param_groups]

    def attach(self, trainer: Engine) -> None:
        """Connect to the trainer."""
        trainer.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine | None, name: str | None = None) -> None:
        """Set the rates."""
        for group, value in zip(self.optimizer_param_groups, self.get_param(), strict=True):
            group["lr"] = value

    def get_param(self) -> list[float]:
        """Return the rate of each group."""
        factor = self.schedule(self.progress())
        return [peak * factor for peak in self.peaks]

    def state_dict(self) -> dict[str, Any]:
        """Return the peak rates."""
        return {"peaks": self.peaks}

    def load_state_dict(self, state_dict: Any) -> None:
        """Take the peak rates back."""
        self.peaks = [float(value) for value in state_dict["peaks"]]
