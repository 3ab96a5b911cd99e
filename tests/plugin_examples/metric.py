"""A metric per epoch: precision, named by ``train.metrics: [precision]``."""

from __future__ import annotations

from typing import Any

from spine_ignite.hookspecs import RegisterComponent, hookimpl
from spine_ignite.spec import Component


@hookimpl
def register_metrics(register: RegisterComponent) -> None:
    """Register ``precision``."""
    register(Component("precision", f"{__name__}:precision", "Share of what is found that is right: TP / (TP + FP)"))


def precision(confusion: Any) -> Any:
    """Return the precision of each class from the counts of a validation, reference in rows."""
    return confusion.diagonal().double() / confusion.sum(0)
