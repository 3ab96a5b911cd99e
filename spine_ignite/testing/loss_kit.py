"""Everything that the core expects of a loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from spine_ignite.errors import UsageError
from spine_ignite.labels import IGNORE
from spine_ignite.testing.component_kit import ComponentConformance

CLASSES = 4


class LossConformance(ComponentConformance):
    """Base class of a loss's conformance test.

    Attributes:
        learn_steps: of Adam on free logits, within which the labels are found.
        learn_share: of the pixels whose class is right then; less for a loss that is only used beside others.
    """

    kind: ClassVar[str] = "loss"
    learn_steps: ClassVar[int] = 100
    learn_share: ClassVar[float] = 0.95

    def build(self, num_classes: int = CLASSES, **options: Any) -> Callable[..., Tensor]:
        """Build the loss."""
        loss: Callable[..., Tensor] = self.choose(**options)(num_classes=num_classes)
        return loss

    @pytest.mark.parametrize("classes", [2, 20])
    @pytest.mark.parametrize("rows", [1, 2])
    @pytest.mark.parametrize("blank", [False, True])
    def test_it_is_a_finite_number_with_finite_gradients(self, classes: int, rows: int, blank: bool) -> None:
        """For any number of classes and rows, for labels of background alone, and for logits beyond reason."""
        logits, label = draw(classes, rows)
        label = label * 0 if blank else label
        for scale in (0.0, 1.0, 1e4):
            given = (scale * logits).requires_grad_()
            value = self.build(classes)(given, label)
            assert isinstance(value, Tensor), f"the loss is a {type(value).__name__}, not a tensor"
            assert value.ndim == 0, f"the loss has shape {tuple(value.shape)}; it must be one number"
            assert torch.isfinite(value), f"the loss of logits around {scale:g} is {value.item()}"
            (gradient,) = torch.autograd.grad(value, given)
            assert torch.isfinite(gradient).all(), f"a gradient is not finite for logits around {scale:g}"

    def test_right_answers_cost_less(self) -> None:
        """Less than none, and these less than wrong ones."""
        _, label = draw()
        right = 8.0 * nn.functional.one_hot(label.long(), CLASSES).movedim(-1, 1).float()
        loss = self.build()
        costs = [float(loss(logits, label)) for logits in (right, 0 * right, right.roll(1, 1))]
        assert costs[0] < costs[1] < costs[2], f"right, undecided and wrong answers cost {costs}"

    def test_it_depends_on_its_arguments_alone_and_leaves_them(self) -> None:
        """Two calls give the same; neither logits nor labels are changed; the order of rows does not matter."""
        logits, label = draw(rows=3)
        kept, loss = (logits.clone(), label.clone()), self.build()
        first, second = loss(logits, label), loss(logits, label)
        assert torch.equal(first, second), "two calls differ"
        assert torch.equal(logits, kept[0]), "the loss changes the logits"
        assert torch.equal(label, kept[1]), "the loss changes the label"
        torch.testing.assert_close(loss(logits.flip(0), label.flip(0)), first)

    def test_descending_it_finds_the_labels(self) -> None:
        """Adam on free logits."""
        logits, label = draw()
        free, loss = (0.1 * logits).requires_grad_(), self.build()
        parameters = [p for p in loss.parameters() if p.requires_grad] if isinstance(loss, nn.Module) else []
        optimizer = torch.optim.Adam([free, *parameters], lr=0.2)
        for _ in range(self.learn_steps):
            optimizer.zero_grad()
            loss(free, label).backward()
            optimizer.step()
        share = float((free.argmax(1) == label).float().mean())
        assert share >= self.learn_share, f"{share:.0%} of the pixels are right after {self.learn_steps} steps"

    def test_labels_that_are_known_in_part(self) -> None:
        """All labelled: as if nothing were said. Ignored pixels count nowhere. Unlabelled classes may be background."""
        loss = self.build()
        if "labelled" not in inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss).parameters:
            pytest.skip("the loss takes no labels that are known in part")
        logits, label = draw()
        everything = torch.ones(len(label), CLASSES, dtype=torch.bool)
        torch.testing.assert_close(loss(logits, label, everything), loss(logits, label))
        ignored = label.clone()
        ignored[:, :4] = IGNORE
        given = logits.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(given, ignored, everything), given)
        assert not gradient[:, :, :4].any(), "pixels that are to be ignored have a gradient"
        known, without = everything.clone(), label.masked_fill(label == 3, 0)
        known[:, 3] = False
        swapped = logits[:, [3, 1, 2, 0]]
        torch.testing.assert_close(loss(swapped, without, known), loss(logits, without, known))

    def test_weights_of_classes(self) -> None:
        """Equal weights are none, and the weight of a class changes the loss."""
        try:
            equal = self.build(weight=[1.0] * CLASSES)
        except UsageError:
            pytest.skip("the loss takes no weights of classes")
        logits, label = draw()
        torch.testing.assert_close(equal(logits, label), self.build()(logits, label))
        heavy = self.build(weight=[1.0, 1.0, 1.0, 9.0])
        assert not torch.isclose(heavy(logits, label), equal(logits, label)), "a weight of 9 changes nothing"


def draw(classes: int = CLASSES, rows: int = 2, side: int = 16) -> tuple[Tensor, Tensor]:
    """Draw logits ``(rows, classes, side, side)`` and labels that are smooth enough to be structures."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, classes, side, side, generator=generator)
    coarse = torch.randint(0, classes, (rows, side // 4, side // 4), generator=generator)
    return logits, coarse.repeat_interleave(4, 1).repeat_interleave(4, 2).to(torch.uint8)
