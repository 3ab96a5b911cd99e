from __future__ import annotations

import math

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


def test_shares_are_remembered_at_each_step_over_resumes_and_replayed_without_a_clock() -> None:
    clock = Clock()
    budget = Budget(TrainConfig(minutes=1), 5, clock)
    for step, now in enumerate((103.0, 109.0, 130.0)):
        clock.now = now
        assert budget.begin_step(step) == budget.shares[step] == pytest.approx((now - 100) / 60)
    resumed = Budget(TrainConfig(minutes=1), 5, Clock())
    resumed.load_state_dict(budget.state_dict())
    assert resumed.shares == budget.shares
    resumed.begin_step(2)  # the step that was lost with a killed process is taken again
    assert len(resumed.shares) == 3
    assert resumed.shares[:2] == budget.shares[:2]

    clock.now = 1e9
    again = Budget(TrainConfig(minutes=1), 5, clock)
    again.replay(budget.shares)
    for step in range(3):
        assert not again.is_spent()
        assert again.begin_step(step) == budget.shares[step]
    assert again.is_spent()


def test_a_checkpoint_of_an_older_version_leaves_its_steps_unknown() -> None:
    budget = Budget(TrainConfig(epochs=2), 5)
    budget.load_state_dict({"seconds": 7.0, "validation_seconds": 0.0})
    budget.begin_step(4)
    assert [math.isnan(share) for share in budget.shares] == [True] * 4 + [False]
    assert budget.shares[4] == 0.4
