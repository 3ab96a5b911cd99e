"""A run's configuration: validated sections, YAML files and dotted overrides.

Uses the ground alone: a section knows what its values may be, not what is made of them.
"""

from spine_ignite.config.augment import AugmentConfig
from spine_ignite.config.data import DataConfig, PatchConfig
from spine_ignite.config.datasets import DatasetConfig
from spine_ignite.config.load import dump_config, load_config, parse_config
from spine_ignite.config.optimization import OptimizerConfig, ScheduleConfig
from spine_ignite.config.sections import (
    LogConfig,
    LossConfig,
    ModelConfig,
    RunConfig,
    StartConfig,
    TrainConfig,
)

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "DatasetConfig",
    "LogConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PatchConfig",
    "RunConfig",
    "ScheduleConfig",
    "StartConfig",
    "TrainConfig",
    "dump_config",
    "load_config",
    "parse_config",
]
