"""Conformance kits for plugin authors: everything that the core expects of what a plugin brings.

A class of pytest for each kind, which is told a name::

    from spine_ignite.testing import LossConformance, ModelConformance

    class TestMyNet(ModelConformance):
        model = "mynet"

    class TestMyLoss(LossConformance):
        name = "myloss"

They need pytest, and the plugin to be installed.
"""

from spine_ignite.testing.blocks_agree import assert_agrees, randomise
from spine_ignite.testing.cleanup_kit import CleanupConformance
from spine_ignite.testing.command_kit import CommandConformance
from spine_ignite.testing.component_kit import ComponentConformance
from spine_ignite.testing.loss_kit import LossConformance
from spine_ignite.testing.metric_kit import MetricConformance
from spine_ignite.testing.model_kit import ModelConformance
from spine_ignite.testing.optimizer_kit import OptimizerConformance, ScheduleConformance
from spine_ignite.testing.reader_kit import ReaderConformance
from spine_ignite.testing.tracker_kit import TrackerConformance

__all__ = [
    "CleanupConformance",
    "CommandConformance",
    "ComponentConformance",
    "LossConformance",
    "MetricConformance",
    "ModelConformance",
    "OptimizerConformance",
    "ReaderConformance",
    "ScheduleConformance",
    "TrackerConformance",
    "assert_agrees",
    "randomise",
]
