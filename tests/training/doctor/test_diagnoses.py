"""Each rule at its threshold, on records made by hand; and what no rule may do."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.training.doctor import diagnose
from spine_ignite.training.doctor.diagnoses import essential

Row = dict[str, Any]


def sound(epochs: int = 12) -> list[Row]:
    """A run of which nothing is to be said: both losses fall, the Dice rises."""
    return [
        {
            "epoch": epoch,
            "iteration": 100 * epoch,
            "train/loss": 3.0 * 0.8**epoch,
            "validation/loss": 3.2 * 0.8**epoch,
            "validation/dice": 0.9 * (1 - 0.8**epoch),
            "validation/recall/L5": 0.5,
            "validation/fpr/L5": 0.01,
            "validation/recall/L4": 0.4,
            "validation/fpr/L4": 0.01,
            "doctor/first_loss": 3.0,
            "doctor/gradient_norm": 1.0,
            "doctor/largest_gradient_norm": 3.0,
            "doctor/first_gradient_norm": 2.0,
            "doctor/unusable_gradients": 0.0,
            "doctor/depth_ratio": 0.7,
            "doctor/update_ratio": 1e-3,
            "doctor/step_seconds": 60.0,
            "doctor/waiting": 0.1,
            "doctor/progress": epoch / epochs,
        }
        for epoch in range(1, epochs + 1)
    ]


def codes(rows: list[Row]) -> list[str]:
    return [diagnosis.code for diagnosis in diagnose(rows)]


def changed(rows: list[Row], **changes: Any) -> list[Row]:
    return [{**row, **{key.replace("__", "/"): value for key, value in changes.items()}} for row in rows]


def test_nothing_is_said_of_a_sound_run_at_any_epoch() -> None:
    rows = sound()
    assert all(codes(rows[:end]) == [] for end in range(len(rows) + 1))


@pytest.mark.parametrize(("loss", "expected"), [(3.5, []), (3.7, ["learning-rate-too-high"])])
def test_a_loss_above_its_start(loss: float, expected: list[str]) -> None:
    assert codes(changed(sound(2), train__loss=loss, validation__dice=None)) == expected


@pytest.mark.parametrize(("ratio", "expected"), [(2e-4, []), (5e-5, ["learning-rate-too-low"])])
def test_small_updates_of_a_run_that_does_not_move(ratio: float, expected: list[str]) -> None:
    assert codes(changed(sound(3), train__loss=2.95, doctor__update_ratio=ratio)) == expected


def test_small_updates_are_no_fault_while_the_loss_falls() -> None:
    assert codes(changed(sound(), doctor__update_ratio=1e-6)) == []


@pytest.mark.parametrize(("norm", "expected"), [(150.0, []), (250.0, ["exploding-gradients"])])
def test_gradients_that_grow(norm: float, expected: list[str]) -> None:
    assert codes(changed(sound(2), doctor__gradient_norm=norm)) == expected


def test_gradients_that_are_not_finite_though_the_loss_is() -> None:
    (found,) = diagnose(changed(sound(2), doctor__unusable_gradients=3.0))
    assert found.code == "exploding-gradients"
    assert "in 3 steps" in found.sentence


def test_one_large_gradient_is_nothing_unless_the_run_ends_with_it() -> None:
    rows = changed(sound(2), doctor__largest_gradient_norm=1e9)
    assert codes(rows) == []
    rows[-1]["train/loss"] = math.nan
    assert codes(rows) == ["learning-rate-too-high", "exploding-gradients"]


@pytest.mark.parametrize(("ratio", "expected"), [(1e-4, []), (1e-6, ["vanishing-gradients"])])
def test_first_layers_without_gradients(ratio: float, expected: list[str]) -> None:
    assert codes(changed(sound(3), doctor__depth_ratio=ratio)) == expected


def test_no_gradients_at_all_count_while_the_loss_is_high() -> None:
    assert codes(changed(sound(3), doctor__gradient_norm=1e-9, train__loss=2.0)) == ["vanishing-gradients"]
    assert codes(changed(sound(), doctor__gradient_norm=1e-9)) == [], "the loss has come down: it is done"


@pytest.mark.parametrize(
    ("seconds", "share", "expected"), [(60, 0.3, []), (60, 0.5, ["starved-device"]), (0.1, 0.9, [])]
)
def test_waiting_counts_when_it_is_much_of_the_time_and_not_a_moment(
    seconds: float, share: float, expected: list[str]
) -> None:
    (*_, found) = [codes(changed(sound(3), doctor__step_seconds=seconds, doctor__waiting=share))]
    assert found == expected


def test_a_missing_class_counts_when_the_dice_rests_or_the_end_is_near() -> None:
    rows = changed(sound(40), validation__recall__L4=0.0)
    rows = [{**row, "validation/recall/L4": 0.0, "validation/fpr/L4": 0.0} for row in sound(40)]
    first = next(end for end in range(len(rows)) if codes(rows[:end]))
    assert codes(rows[:first]) == ["class-never-predicted"]
    gains = [rows[end]["validation/dice"] - rows[end - 5]["validation/dice"] for end in (first - 2, first - 1)]
    assert gains[0] > 0.01 > gains[1], "from the validation on that brings less than 0.01 over five"
    assert "reference has it: L4." in diagnose(rows)[0].sentence
    once = [*rows[:-3], {**rows[-3], "validation/fpr/L4": 1e-6}, *rows[-2:]]
    assert codes(once) == [], "wrong pixels are predictions too"


def test_a_class_that_the_reference_lacks_is_not_missed() -> None:
    absent = {"validation/recall/L4": None, "validation/fpr/L4": 0.0}
    assert codes([{**row, **absent} for row in sound(40)]) == []


def test_all_background_is_one_diagnosis_and_waits_until_the_run_has_settled() -> None:
    nothing = {f"validation/{measure}/{name}": 0.0 for measure in ("recall", "fpr") for name in ("L5", "L4")}
    rows = [{**row, **nothing, "validation/dice": 0.0, "train/loss": 2.0} for row in sound(40)]
    assert codes(rows[:9]) == [], "less than a quarter of the run"
    assert codes(rows[:10]) == ["all-background"]
    assert codes(rows) == ["all-background"]


def test_a_resting_dice_counts_when_it_is_low_and_the_loss_falls() -> None:
    low = changed(sound(), validation__dice=0.1)
    assert codes(low) == ["loss-falls-dice-stands"]
    assert codes(changed(sound(), validation__dice=0.8)) == []
    assert codes(changed(low, train__loss=1.0)) == []


def test_overfitting_needs_a_rising_validation_loss_and_no_better_dice() -> None:
    rows = sound()
    for number, row in enumerate(rows[4:], 1):
        row["validation/loss"] = rows[3]["validation/loss"] * (1 + 0.1 * number)
        row["validation/dice"] = 0.5
    (found,) = diagnose(rows)
    assert found.code == "overfitting"
    assert "since epoch 4" in found.sentence
    rows[-1]["validation/dice"] = 0.95
    assert codes(rows) == [], "the Dice still rises"


def test_a_record_that_was_read_back_says_the_same() -> None:
    rows = [{**row, "validation/recall/L4": 0.0, "validation/fpr/L4": 0.0} for row in sound(40)]
    assert diagnose([json.loads(json.dumps(row)) for row in rows]) == diagnose(rows)


numbers = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True))
keys = sorted(sound(1)[0].keys() - {"epoch", "iteration"})
rows_of_anything = st.lists(st.dictionaries(st.sampled_from(keys), numbers), max_size=9)


@given(rows_of_anything)
def test_no_record_whatever_its_numbers_breaks_a_rule(values: list[Row]) -> None:
    rows = [{"epoch": n, "iteration": 300 * n, **row} for n, row in enumerate(values, 1)]
    for found in diagnose(rows):
        assert found.sentence.endswith(".")
        assert found.advice


@given(st.floats(1e-3, 1e3))
def test_diagnoses_do_not_depend_on_the_unit_of_the_loss(factor: float) -> None:
    """A loss that is summed instead of averaged, or weighted, is the same loss."""
    scaled = ("train/loss", "validation/loss", "doctor/first_loss")
    for rows in (sound(), changed(sound(), validation__dice=0.1), changed(sound(3), train__loss=4.0)):
        other = [{key: value * factor if key in scaled else value for key, value in row.items()} for row in rows]
        assert codes(other) == codes(rows)


RESTED = st.fixed_dictionaries(
    {
        "train/loss": st.sampled_from([0.1, 0.5, 1.0, 3.0, 4.0]),
        "validation/loss": st.sampled_from([0.2, 0.4, 1.0, 2.0, math.nan]),
        "validation/dice": st.sampled_from([0.0, 0.2, 0.3, 0.8, math.nan]),
        "validation/recall/L4": st.sampled_from([0.0, 0.4]),
        "validation/fpr/L4": st.just(0.0),
        "doctor/update_ratio": st.sampled_from([1e-6, 1e-3]),
        "doctor/gradient_norm": st.sampled_from([0.0, 1.0, 500.0]),
    }
)


@given(st.lists(RESTED, min_size=8, max_size=40))
def test_few_rows_stand_for_the_whole_record(changes: list[Row]) -> None:
    """Pruned after each epoch, as in a run, the record leads to the same diagnoses as the whole, and stays short."""
    whole: list[Row] = []
    pruned: list[Row] = []
    for row, change in zip(sound(len(changes)), changes, strict=True):
        whole.append({**row, **change})
        pruned = essential([*pruned, whole[-1]])
        assert diagnose(pruned) == diagnose(whole)
    assert len(pruned) <= 16


def test_a_long_overfitting_is_seen_with_few_rows() -> None:
    rows = sound(200)
    for epoch, row in enumerate(rows):
        row |= {"train/loss": 2 * 0.97**epoch, "validation/loss": abs(epoch - 20) / 40 + 0.5, "validation/dice": 0.7}
    rows[10]["validation/dice"] = 0.75  # not the epoch of the lowest loss
    pruned: list[Row] = []
    for row in rows:
        pruned = essential([*pruned, row])
    assert "overfitting" in codes(pruned)
    assert diagnose(pruned) == diagnose(rows)
