"""Augmentation's configuration: a probability and ranges for every transform."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Range = tuple[float, float]


class Transform(BaseModel):
    """A transform applied to each slice of a batch with probability ``p``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    p: Probability = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Transform:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{name} must run from low to high, got {list(value)}")
        return self


class FlipConfig(Transform):
    """Mirror front to back (columns); never head to foot, which would hide which level is which."""

    head_to_foot: Probability = Field(0.0, description="probability of a flip of the rows as well")


class AffineConfig(Transform):
    """Rotation, scaling, shear and shift about the centre."""

    p: Probability = 0.5
    degrees: Range = Field((-10.0, 10.0), description="rotation")
    scale: Range = Field((0.9, 1.1), description="zoom, isotropic")
    shear: Range = Field((-5.0, 5.0), description="degrees")
    shift_rows: Range = Field((-0.03, 0.03), description="share of the height")
    shift_columns: Range = Field((-0.05, 0.05), description="share of the width")


class ElasticConfig(Transform):
    """Smooth displacement from a coarse grid of control points."""

    p: Probability = 0.2
    control_points: Annotated[int, Field(ge=4, le=64)] = Field(7, description="per axis")
    magnitude: Range = Field((0.0, 0.015), description="standard deviation of the displacement, share of the side")


class BiasFieldConfig(Transform):
    """Multiplicative smooth field, as from a surface coil."""

    p: Probability = 0.3
    coefficient: Range = Field((0.1, 0.5), description="amplitude of the field's logarithm")


class GammaConfig(Transform):
    """Contrast: x -> x**gamma on each image's own range."""

    p: Probability = 0.3
    gamma: Annotated[Range, Field()] = (0.7, 1.5)


class NoiseConfig(Transform):
    """Additive Gaussian noise."""

    p: Probability = 0.2
    std: Range = Field((0.0, 0.1), description="in units of the image's standard deviation")


class BlurConfig(Transform):
    """Gaussian blur."""

    p: Probability = 0.1
    sigma: Range = Field((0.5, 1.2), description="pixels")


class LowResolutionConfig(Transform):
    """Down and up again, as from a coarser scan."""

    p: Probability = 0.1
    zoom: Range = Field((0.5, 1.0), description="size of the coarse image")


class GhostingConfig(Transform):
    """Motion or ghosting: periodic copies along the phase-encoding axis (rows or columns)."""

    p: Probability = 0.05
    ghosts: tuple[int, int] = (2, 6)
    intensity: Range = (0.1, 0.4)


class AugmentConfig(BaseModel):
    """Applied to training batches, on their device, and to nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    flip: FlipConfig = Field(default_factory=FlipConfig)
    affine: AffineConfig = Field(default_factory=AffineConfig)
    elastic: ElasticConfig = Field(default_factory=ElasticConfig)
    bias_field: BiasFieldConfig = Field(default_factory=BiasFieldConfig)
    gamma: GammaConfig = Field(default_factory=GammaConfig)
    noise: NoiseConfig = Field(default_factory=NoiseConfig)
    blur: BlurConfig = Field(default_factory=BlurConfig)
    low_resolution: LowResolutionConfig = Field(default_factory=LowResolutionConfig)
    ghosting: GhostingConfig = Field(default_factory=GhostingConfig)
    torchio: tuple[dict[str, dict[str, Any]], ...] = Field(
        (), description="TorchIO transforms by name with their arguments, run in the loader's workers"
    )
