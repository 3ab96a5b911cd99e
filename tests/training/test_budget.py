from __future__ import annotations

import pytest

from spine_ignite.config import TrainConfig
from spine_ignite.training.budget import Budget


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_epochs_measure_progress_in_steps() -> None:
    budget = Budget(TrainConfig(epochs=4), steps_per_epoch=5)
    assert budget.max_epochs == 4
    assert [budget.progress(n) for n in (0, 5, 20)] == [0.0, 0.25, 1.0]
    assert not budget.is_spent()


def test_minutes_leave_room_for_the_last_validation_and_survive_a_resume() -> None:
    clock = Clock()
    budget = Budget(TrainConfig(minutes=2), 5, clock)
    clock.now += 60
    assert budget.progress(999) == pytest.approx(0.5)
    budget.validation_seconds = 10
    clock.now += 47
    assert not budget.is_spent()
    clock.now += 2
    assert budget.is_spent()
    assert budget.progress(0) == 1.0
    later = Clock()
    resumed = Budget(TrainConfig(minutes=2), 5, later)
    resumed.load_state_dict(budget.state_dict())
    later.now += 1
    assert resumed.seconds == pytest.approx(110)
    assert resumed.is_spent()
