"""The optimizer and the course of its learning rate."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from spine_ignite.config.section import Fraction, NotNegative, Positive, Section


class OptimizerConfig(Section):
    """The optimizer."""

    name: str = Field("adamw", description="sgd, adam, nadam, adamw, or one of a plugin (list-components)")
    lr: Annotated[float, Field(gt=0)] = Field(1e-3, description="peak learning rate")
    lr_factors: dict[str, Positive] = Field(
        default_factory=dict,
        description="rate of parts of the network as multiples of lr, as in {encoder: 0.1}: encoder, head (what gives "
        "the classes), or what the names of parameters begin with, also as a pattern (decoder.*.bias); of several that "
        "fit the smallest part counts",
    )
    bias_factor: Positive = Field(1.0, description="rate of biases as a multiple of their part's")
    weight_decay: NotNegative = Field(1e-2, description="of kernels and matrices")
    decay_factors: dict[str, NotNegative] = Field(
        default_factory=dict, description="weight decay of parts as multiples of weight_decay, named as in lr_factors"
    )
    decay_vectors: bool = Field(False, description="let biases, norm weights and all other vectors decay too")
    momentum: Fraction = Field(0.9, description="for sgd")
    nesterov: bool = Field(True, description="for sgd")
    betas: tuple[Fraction, Fraction] = Field((0.9, 0.999), description="for adam, nadam and adamw")
    options: dict[str, Any] = Field(default_factory=dict, description="of a plugin's optimizer: its own options")


def _check_milestones(value: tuple[float, ...]) -> tuple[float, ...]:
    if any(later <= earlier for earlier, later in pairwise((0.0, *value))):
        raise ValueError(f"must be shares of training above 0 that rise, as in [0.5, 0.75], got {list(value)}")
    return value


class ScheduleConfig(Section):
    """Learning rate as a function of the share of training that is done (steps, or minutes)."""

    name: str = Field("cosine", description="constant, step, poly, cosine, or one of a plugin (list-components)")
    warmup: Fraction = Field(0.05, description="share of training with a linear rise from 0")
    power: Annotated[float, Field(gt=0)] = Field(0.9, description="for poly")
    step_share: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="for step: share of training per step")
    milestones: Annotated[tuple[Fraction, ...], AfterValidator(_check_milestones)] = Field(
        (), description="for step: shares of training after which a step is due, in the place of step_share"
    )
    gamma: Annotated[float, Field(gt=0, le=1)] = Field(0.8, description="for step: factor at each step")
    final: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="for cosine: final share of the peak rate")
    options: dict[str, Any] = Field(default_factory=dict, description="of a plugin's schedule: its own options")
