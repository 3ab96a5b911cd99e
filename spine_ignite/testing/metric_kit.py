"""Everything that the core expects of a metric of validation."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest
import torch
from ignite.engine import Engine
from torch import Tensor

from spine_ignite.config.sections import Named
from spine_ignite.testing.component_kit import ComponentConformance
from spine_ignite.testing.loss_kit import draw
from spine_ignite.training.epoch_metrics import EpochMetrics
from spine_ignite.training.metrics import SegmentationConfusion


class MetricConformance(ComponentConformance):
    """Base class of a metric's conformance test.

    Attributes:
        ordered: whether the order of the structures means something to the metric, as neighbours in a column would.
    """

    kind: ClassVar[str] = "metric"
    ordered: ClassVar[bool] = False

    def measure(self, batches: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Return what a validation of these logits and labels records of the metric, by name."""
        classes = batches[0][0].shape[1]
        names = ["background", *(f"S{number}" for number in range(1, classes))]
        named = Named(name=self.name, options=self.options)
        evaluator = Engine(lambda _engine, batch: {"y_pred": batch[0], "y": batch[1].long()})
        counted = SegmentationConfusion(classes, output_transform=lambda o: (o["y_pred"].argmax(1), o["y"]))
        counted.attach(evaluator, "confusion")
        EpochMetrics(names, [named]).attach(evaluator)
        found: dict[str, Any] = {}
        for _ in range(2):
            found, former = evaluator.run(batches).metrics, found
            assert not former or _same(former, found, self.name), "a second validation of the same gives another value"
        return {key: float(v) for key, v in found.items() if key == self.name or key.startswith(f"{self.name}/")}

    @pytest.mark.parametrize("classes", [2, 5, 20])
    def test_it_is_recorded_as_a_number(self, classes: int) -> None:
        """One number, or one for each structure with their mean; finite where all of them are there."""
        logits, label = draw(classes, rows=4, side=32)
        found = self.measure([(logits[:2], label[:2]), (logits[2:], label[2:])])
        assert self.name in found, f"'{self.name}' is not recorded"
        assert len(found) in (1, classes), f"there are {len(found) - 1} values for {classes - 1} structures"
        assert all(map(math.isfinite, found.values())), f"a value is not finite: {found}"

    def test_it_tells_right_from_wrong(self) -> None:
        """Perfect predictions and others differ."""
        logits, label = draw()
        perfect = torch.nn.functional.one_hot(label.long(), logits.shape[1]).movedim(-1, 1).float()
        values = [self.measure([(given, label)])[self.name] for given in (perfect, perfect.roll(1, 1))]
        assert values[0] != values[1], f"right and wrong predictions both give {values[0]:g}"

    def test_a_structure_that_is_nowhere_makes_nothing_infinite(self) -> None:
        """It has no value (NaN), or a finite one."""
        logits, label = draw()
        logits[:, 3], label = -9.0, label.masked_fill(label == 3, 0)
        for key, value in self.measure([(logits, label)]).items():
            assert not math.isinf(value), f"{key} is infinite"

    def test_it_does_not_know_the_structures_by_their_places(self) -> None:
        """With structures in another order their values are in that order, and the metric is the same."""
        if self.ordered:
            pytest.skip("the order of the structures means something to the metric")
        logits, label = draw()
        order = [0, 3, 1, 2]
        found = self.measure([(logits, label)])
        renamed = torch.tensor([order.index(old) for old in range(4)], dtype=torch.uint8)[label.long()]
        other = self.measure([(logits[:, order], renamed)])
        pairs = {self.name: self.name, **{f"{self.name}/S{n}": f"{self.name}/S{o}" for n, o in enumerate(order[1:], 1)}}
        for new, old in pairs.items():
            if old in found:
                said = f"{new} is {other[new]:g}, and {old} was {found[old]:g} before the structures changed places"
                assert other[new] == pytest.approx(found[old], nan_ok=True), said


def _same(one: dict[str, Any], other: dict[str, Any], name: str) -> bool:
    return float(one[name]) == float(other[name]) or (math.isnan(one[name]) and math.isnan(other[name]))
