"""The metrics of a validation: the core's own, which are always there, and those that a configuration names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ignite.engine import Engine, Events
from ignite.metrics import Metric
from torch import Tensor

from spine_ignite.config.sections import Named
from spine_ignite.errors import RunError, UsageError
from spine_ignite.registry import Chosen, load_registry
from spine_ignite.training.metrics import summarise

RESERVED = ("confusion", "loss", "classes")


class EpochMetrics:
    """Lets an evaluator's ``state.metrics`` hold each metric by its name, and per class as ``dice/L5``.

    A component that is a class of Ignite's ``Metric`` is attached, and sees ``(y_pred, y)`` of each batch: logits
    ``(B, K, H, W)`` and labels ``(B, H, W)``. Any other is called with the confusion matrix of the whole validation,
    ``(K, K)`` counts with the reference in rows, and returns a number, or a tensor with one for each class: its mean
    over the structures, without NaN, is the metric then.

    Args:
        class_names: of all classes; the first is the background.
        further: metrics besides the core's own.

    Raises:
        UsageError: there is no such metric, or its name is taken.
    """

    def __init__(self, class_names: Sequence[str], further: Sequence[Named] = ()) -> None:
        registry = load_registry()
        own = [item.value.name for item in registry.components("metric") if item.distribution == registry.core]
        self.class_names = class_names
        self.of_batches: dict[str, Metric] = {}
        self.of_confusion: dict[str, Callable[[Tensor], Any]] = {
            name: registry.choose("metric", f"{registry.core.name}:{name}").target for name in own
        }
        for named in further:
            chosen = registry.choose("metric", named.name, named.options)
            name = chosen.component.name
            if chosen.distribution == registry.core:
                continue
            if name in (*RESERVED, *self.of_confusion, *self.of_batches):
                raise UsageError(f"{chosen} cannot be recorded: the name is taken; name another in train.metrics")
            self._add(name, chosen)

    def attach(self, evaluator: Engine) -> None:
        """Connect to the evaluator, which has a ``confusion`` among its metrics."""
        for name, metric in self.of_batches.items():
            metric.attach(evaluator, name)
        evaluator.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Add what the confusion matrix gives."""
        engine.state.metrics |= summarise(engine.state.metrics["confusion"], self.class_names, self.of_confusion)

    def _add(self, name: str, chosen: Chosen) -> None:
        if isinstance(chosen.target, type) and issubclass(chosen.target, Metric):
            self.of_batches[name] = chosen()
            return

        def measure(confusion: Tensor) -> Any:
            value = chosen(confusion)
            single = isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.ndim == 0)
            if single or (isinstance(value, Tensor) and value.shape == (len(self.class_names),)):
                return float(value) if single else value
            raise RunError(
                f"{chosen} must give a number, or a tensor of one for each of {len(self.class_names)} classes, and "
                f"gives a {type(value).__name__}"
            )

        self.of_confusion[name] = measure


def shown(values: dict[str, Any], metrics: Sequence[Named]) -> str:
    """Return the metrics that a configuration names as text, for a line about the epoch."""
    found = [
        (named.name.rpartition(":")[2], values.get(f"validation/{named.name.rpartition(':')[2]}")) for named in metrics
    ]
    return "".join(f"  {name} {value:.4f}" for name, value in found if value is not None and math.isfinite(value))
