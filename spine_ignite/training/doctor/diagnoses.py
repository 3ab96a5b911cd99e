"""What can be wrong with a run, decided from its record alone: one row per epoch, as in ``metrics.jsonl``.

The thresholds are set for silence: each is far from what sound runs do, since a warning that is often wrong is not
read. A row that lacks a value, or has null or NaN for it, says nothing about it. A comparison with NaN is false,
which below always means: no diagnosis.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

Row = Mapping[str, Any]

# What a run has not learnt can be held against it after so many steps, if they are this share of it, or after so many
# more whatever their share.
LEAST_STEPS = 200
SETTLED_PROGRESS = 0.25
SETTLED_STEPS = 2000
LATE_PROGRESS = 0.75
# Validations that must agree.
WINDOW = 5
_AT_ONCE = 100  # rows of a record that are looked at together


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One finding.

    Args:
        code: its name, for programs.
        sentence: what was seen, with the numbers.
        advice: what to try.
    """

    code: str
    sentence: str
    advice: str


def diagnose(history: Sequence[Row]) -> list[Diagnosis]:
    """Return what is wrong with a run after the last epoch of ``history``.

    Args:
        history: the rows so far; those with ``validation/dice`` were validated.
    """
    validated = [row for row in history if not math.isnan(_get(row, "validation/dice"))]
    found = [rule(history, validated) for rule in _RULES] if history else []
    return [diagnosis for diagnosis in found if diagnosis is not None]


def essential(history: Iterable[Row]) -> list[Row]:
    """Return the rows on which :func:`diagnose` depends, now and after any further ones: some twenty at most.

    A record of all epochs would make memory and time grow with the length of a run.
    """
    kept: list[Row] = []
    rows = iter(history)
    while some := list(islice(rows, _AT_ONCE)):
        kept = _essential([*kept, *some])
    return kept


def _essential(history: Sequence[Row]) -> list[Row]:
    validated = [row for row in history if not math.isnan(_get(row, "validation/dice"))]
    older = validated[: -WINDOW - 1]
    kept = [*history[:1], *history[-WINDOW - 1 :], *validated[-WINDOW - 1 :]]
    if older:
        losses = [_get(row, "validation/loss") for row in older]
        kept += [row for row, loss in zip(older, losses, strict=True) if not math.isfinite(loss)][:1]
        kept.append(min(older, key=lambda row: _get(row, "validation/loss")))
        kept.append(max(older, key=lambda row: _get(row, "validation/dice")))
    places = {id(row) for row in kept}
    return [row for row in history if id(row) in places]


def learning_rate_too_high(history: Sequence[Row], _validated: Sequence[Row]) -> Diagnosis | None:
    """The loss is above its start after some steps, or no longer finite."""
    start, last = _get(history[0], "doctor/first_loss"), history[-1]
    advice = "Start again with a tenth of optimizer.lr (spine-ignite find-lr suggests one) or a longer schedule.warmup."
    if math.isfinite(start) and "train/loss" in last and not math.isfinite(_get(last, "train/loss")):
        step = int(_get(last, "iteration"))
        sentence = (
            f"The learning rate seems too high: the loss was {start:.3g} at first and is not finite at step {step}."
        )
        return Diagnosis("learning-rate-too-high", sentence, advice)
    recent = [_get(row, "train/loss") for row in history[-2:]]
    if _get(last, "iteration") >= 20 and min(recent) > start + 0.2 * abs(start):
        sentence = (
            f"The learning rate seems too high: the loss was {start:.3g} at first and is {recent[-1]:.3g} "
            f"after {int(_get(last, 'iteration'))} steps."
        )
        return Diagnosis("learning-rate-too-high", sentence, advice)
    return None


def learning_rate_too_low(history: Sequence[Row], _validated: Sequence[Row]) -> Diagnosis | None:
    """The weights hardly change in an update, and the loss hardly has."""
    first, last = _get(history[0], "train/loss"), _get(history[-1], "train/loss")
    ratio = _median(history[-WINDOW:], "doctor/update_ratio")
    if len(history) >= 3 and ratio < 1e-4 and abs(first - last) < 0.05 * abs(first):
        return Diagnosis(
            "learning-rate-too-low",
            f"The learning rate seems too low: an update changes the weights by {ratio:.0e} of their size, and the "
            f"loss of an epoch has gone from {first:.4g} to {last:.4g} only.",
            "Start again with ten times optimizer.lr or more; spine-ignite find-lr suggests a rate.",
        )
    return None


def exploding_gradients(history: Sequence[Row], _validated: Sequence[Row]) -> Diagnosis | None:
    """The gradients have grown a hundredfold, or are not finite while the loss is."""
    before, last = _get(history[0], "doctor/first_gradient_norm"), history[-1]
    finite = math.isfinite(_get(last, "train/loss"))
    # One large gradient is nothing, unless it was the last thing that happened.
    now = _get(last, "doctor/gradient_norm" if finite else "doctor/largest_gradient_norm")
    unusable = _get(last, "doctor/unusable_gradients")
    if now >= 100 * before > 0:
        sentence = f"The gradients explode: their norm was {before:.2g} at first and is {now:.2g} now."
    elif unusable > 0 and finite:
        sentence = f"The gradients explode: in {unusable:.0f} steps of this epoch they are not finite."
    else:
        return None
    advice = (
        "Resume with --set precision=fp32, if it is another; else start again with a lower optimizer.lr, with "
        "train.clip_norm (12, or 1), or with a network with normalisation."
    )
    return Diagnosis("exploding-gradients", sentence, advice)


def vanishing_gradients(history: Sequence[Row], _validated: Sequence[Row]) -> Diagnosis | None:
    """No gradient reaches the first layers, or there is none at all while the loss is still high."""
    recent = history[-3:]
    depth, norm = _median(recent, "doctor/depth_ratio"), _median(recent, "doctor/gradient_norm")
    start, loss = _get(history[0], "doctor/first_loss"), _get(history[-1], "train/loss")
    if len(recent) < 3:
        return None
    if norm < 1e-7 * abs(loss) and loss > 0.5 * start:
        sentence = f"The gradients vanish: their norm is {norm:.0e} while the loss is still {loss:.3g}."
    elif depth < 1e-5:
        sentence = f"The gradients vanish: those of the first layers are {depth:.0e} of those of the last ones."
    else:
        return None
    advice = (
        "Start again with a network with normalisation or skip connections; if this one learnt before, with a lower "
        "optimizer.lr."
    )
    return Diagnosis("vanishing-gradients", sentence, advice)


def starved_device(history: Sequence[Row], _validated: Sequence[Row]) -> Diagnosis | None:
    """A large share of the time goes into waiting for data."""
    pairs = [(_get(row, "doctor/step_seconds"), _get(row, "doctor/waiting")) for row in history[-WINDOW:]]
    pairs = [(seconds, share) for seconds, share in pairs if math.isfinite(seconds * share)]
    total, waited = sum(seconds for seconds, _ in pairs), sum(seconds * share for seconds, share in pairs)
    if waited < 1 or waited < 0.4 * total:
        return None
    return Diagnosis(
        "starved-device",
        f"The device waits for data {waited / total:.0%} of the time.",
        "Resume with more data.workers, or with data.cache on a local disk; or start again with fewer or cheaper "
        "augment.torchio transforms.",
    )


def all_background(_history: Sequence[Row], validated: Sequence[Row]) -> Diagnosis | None:
    """Nothing but background is predicted, though there are structures."""
    recent = validated[-3:]
    if not _settled(validated, 3) or not all(_missing(row) == _present(row) != [] for row in recent):
        return None
    return Diagnosis(
        "all-background",
        f"Every pixel was predicted as background in the last {len(recent)} validations, though the reference has "
        f"{len(_present(recent[-1]))} structures.",
        "Check that training masks hold the structures (spine-ignite check); start again with a loss with Dice "
        "(loss.name=dice_ce), a larger data.foreground_share, or another optimizer.lr.",
    )


def class_never_predicted(history: Sequence[Row], validated: Sequence[Row]) -> Diagnosis | None:
    """A structure of the reference is not predicted in any pixel, though the loss has fallen and others are.

    Sound runs find the structures one after the other: it counts when the Dice has come to rest, or the end is near.
    """
    recent = validated[-WINDOW:]
    start, loss = _get(history[0], "doctor/first_loss"), _get(history[-1], "train/loss")
    if not _settled(validated, WINDOW + 1) or not loss < start - 0.1 * abs(start):
        return None
    if not (_stands(validated) or _get(recent[-1], "doctor/progress") >= LATE_PROGRESS):
        return None
    never = [name for name in _missing(recent[-1]) if all(name in _missing(row) for row in recent)]
    if not never or never == _present(recent[-1]):
        return None
    return Diagnosis(
        "class-never-predicted",
        f"Never predicted in the last {len(recent)} validations, though the reference has it: {', '.join(never)}.",
        "A sound network may miss a few pixels at the edge of a picture; else check that training masks hold it "
        "(spine-ignite check), resume with more train.epochs, or start again with a loss with Dice, a larger "
        "data.foreground_share, or data.sampling=patches with data.patch.sampler=label.",
    )


def loss_falls_dice_stands(_history: Sequence[Row], validated: Sequence[Row]) -> Diagnosis | None:
    """The training loss goes down and a low validation Dice does not go up."""
    recent = validated[-WINDOW - 1 :]
    if not _settled(validated, WINDOW + 1):
        return None
    before, now = _get(recent[0], "train/loss"), _get(recent[-1], "train/loss")
    best = max(_get(row, "validation/dice") for row in recent[1:])
    if not (now < before - 0.1 * abs(before) and _stands(validated) and best < 0.5):
        return None
    return Diagnosis(
        "loss-falls-dice-stands",
        f"The training loss fell from {before:.3g} to {now:.3g} over the last {WINDOW} validations, but the validation "
        f"Dice stands at {best:.2f}.",
        "Compare masks of training and validation cases (labels, geometry: spine-ignite check), look at the sample "
        "pictures, and see whether the loss measures what Dice does; try train --overfit-batches 2. In a short run a "
        "high train.ema keeps the judged network behind.",
    )


def overfitting(_history: Sequence[Row], validated: Sequence[Row]) -> Diagnosis | None:
    """The validation loss has risen for long while the training loss went on falling."""
    losses = [_get(row, "validation/loss") for row in validated]
    dices = [_get(row, "validation/dice") for row in validated]
    if len(validated) < WINDOW + 1 or not all(map(math.isfinite, losses)):
        return None
    best = losses.index(min(losses))
    validation, training = statistics.mean(losses[-3:]), _mean(validated[-3:], "train/loss")
    before = _get(validated[best], "train/loss")
    late = len(validated) - 1 - best >= WINDOW and dices.index(max(dices)) < len(dices) - 3
    if not (late and validation > 1.2 * losses[best] > 0 and training < 0.8 * before):
        return None
    return Diagnosis(
        "overfitting",
        f"The network overfits: since epoch {int(_get(validated[best], 'epoch'))} the training loss fell from "
        f"{before:.3g} to {training:.3g}, while the validation loss rose from {losses[best]:.3g} to {validation:.3g}.",
        "Resume with train.patience, or start again with more augmentation, more optimizer.weight_decay, a smaller "
        "network or more cases; best.pt has the weights of the best validation.",
    )


_RULES: tuple[Callable[[Sequence[Row], Sequence[Row]], Diagnosis | None], ...] = (
    learning_rate_too_high,
    learning_rate_too_low,
    exploding_gradients,
    vanishing_gradients,
    starved_device,
    all_background,
    class_never_predicted,
    loss_falls_dice_stands,
    overfitting,
)


def _get(row: Row, key: str) -> float:
    value = row.get(key)
    return math.nan if value is None else float(value)


def _mean(rows: Sequence[Row], key: str) -> float:
    return statistics.fmean(_get(row, key) for row in rows)


def _median(rows: Sequence[Row], key: str) -> float:
    values = [value for value in (_get(row, key) for row in rows) if not math.isnan(value)]
    return statistics.median(values) if values else math.nan


def _settled(validated: Sequence[Row], validations: int) -> bool:
    if len(validated) < validations:
        return False
    steps, progress = _get(validated[-1], "iteration"), _get(validated[-1], "doctor/progress")
    return steps >= SETTLED_STEPS or (steps >= LEAST_STEPS and progress >= SETTLED_PROGRESS)


def _stands(validated: Sequence[Row]) -> bool:
    """Whether the last validations, compared with those before them, have brought no better Dice worth the name."""
    dices = [_get(row, "validation/dice") for row in validated]
    return max(dices[-WINDOW:]) < max(dices[:-WINDOW]) + 0.01


def _present(row: Row) -> list[str]:
    """Names of the structures in the reference: those that have a recall."""
    prefix = "validation/recall/"
    return [key.removeprefix(prefix) for key in row if key.startswith(prefix) and not math.isnan(_get(row, key))]


def _missing(row: Row) -> list[str]:
    """Names of the structures in the reference without a single predicted pixel: neither a true nor a false one."""
    return [
        name
        for name in _present(row)
        if _get(row, f"validation/recall/{name}") == 0 == _get(row, f"validation/fpr/{name}")
    ]
