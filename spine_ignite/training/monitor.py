"""What best.pt and early stopping look at: one figure of the epoch's row."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from spine_ignite.config import TrainConfig
from spine_ignite.errors import UsageError, suggest
from spine_ignite.registry import load_registry

_VALIDATION = "validation/"
_MINIMISED = ("loss", "fnr", "fpr")  # as a part of the name
_OF_STEPS = ("train/loss", "train/gradient_norm", "lr", "slices_per_second", "seconds", "minutes")


class Monitor:
    """Reads ``train.monitor`` from rows, and knows which value is better.

    Args:
        config: the section ``train``.
        validates: whether there is anything to validate on.

    Attributes:
        name: of the figure.
        minimises: whether less is better.
        label: the figure, as it is told to people.
        judges: whether there will be a figure; without, the last network is the best.
    """

    def __init__(self, config: TrainConfig, validates: bool) -> None:
        self.name = config.monitor
        mode = config.monitor_mode
        self.minimises = mode == "min" if mode else any(part in _MINIMISED for part in self.name.split("/"))
        self.label = "Dice" if self.name == "validation/dice" else self.name
        self.judges = validates or not self.name.startswith(_VALIDATION)
        self._was_seen = False
        self._is_default = self.name == TrainConfig.model_fields["monitor"].default

    def value(self, row: Mapping[str, Any]) -> float | None:
        """Return the figure of an epoch; None if it has none, since it was not validated, or what is no number.

        Raises:
            UsageError: an epoch that should have it has not.
        """
        found = row.get(self.name)
        if found is None:
            expected = not self.name.startswith(_VALIDATION) or any(name.startswith(_VALIDATION) for name in row)
            if expected and not self._was_seen:
                raise self._unknown([name for name in row if name not in ("epoch", "iteration")])
            return None
        self._was_seen = True
        return None if math.isnan(found) else float(found)

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether a figure is better than the best until now."""
        return best is None or (value < best if self.minimises else value > best)

    def require_known(self, further: Sequence[str], classes: Collection[str]) -> None:
        """Refuse a figure that the core and the metrics of the configuration do not have.

        Args:
            further: names of the metrics that ``train.metrics`` brings.
            classes: names of the classes.

        Raises:
            UsageError: it is another, or one of validation where there is none.
        """
        if not self.judges and not self._is_default:
            raise UsageError(
                f"train.monitor is {self.name}, but nothing is validated (data.validation is 0): choose a figure of "
                "training such as train/loss, or leave train.monitor out, and the last network is kept"
            )
        registry = load_registry()
        metrics = [item.value.name for item in registry.components("metric")] if further else []
        own = [item.value.name for item in registry.components("metric") if item.distribution == registry.core]
        names = {*own, *(name for name in further if name in metrics)}
        known = [*_OF_STEPS, *(f"{_VALIDATION}{name}" for name in ("loss", "classes", *sorted(names)))]
        perhaps = {f"{_VALIDATION}{name}/{label}" for name in names for label in classes}
        if self.name not in {*known, *perhaps} and not self.name.startswith(("train/loss/", "doctor/")):
            raise self._unknown(known)

    def _unknown(self, names: Sequence[str]) -> UsageError:
        shown = ", ".join(name for name in names if name.count("/") < 2)
        return UsageError(
            f"train.monitor is {self.name}, which is not among the recorded figures.{suggest(self.name, names)} There "
            f"are {shown}, and of each class such as validation/dice/L5"
        )
