"""Augmentation's configuration: a probability and ranges for every transform."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[FiniteFloat, Field(ge=0.0)]
Positive = Annotated[FiniteFloat, Field(gt=0.0)]
Angle = Annotated[FiniteFloat, Field(ge=-180.0, le=180.0)]
Slant = Annotated[FiniteFloat, Field(ge=-60.0, le=60.0)]
Knots = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1, le=64)]]
Share = Annotated[FiniteFloat, Field(ge=-1.0, le=1.0)]

# Largest `magnitude * (control_points - 3)`. The displacement's gradient has 1.2 times that as standard deviation:
# neighbouring pixels change places (the image folds) only beyond four standard deviations.
MAX_STRAIN = 0.2


class Transform(BaseModel):
    """A transform applied to each slice of a batch with probability ``p``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    p: Probability = Field(0.0, description="probability, for each slice on its own")

    @model_validator(mode="after")
    def _ordered(self) -> Transform:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{name} must run from low to high, got {list(value)}")
        return self


class FlipConfig(Transform):
    """Mirror front to back (columns), or left to right (the order of the neighbours that are channels).

    Never head to foot by default, which would hide which level is which.
    """

    p: Probability = Field(0.0, description="probability of a mirror of the columns (front to back)")
    head_to_foot: Probability = Field(0.0, description="probability of a mirror of the rows; it hides the level")
    neighbours: Probability = Field(
        0.0, description="probability of a mirror of the patient, left to right: the neighbours in reverse order"
    )


class AffineConfig(Transform):
    """Rotation, zoom, shear and shift about the centre, in pixels (not in a square that the image is stretched to)."""

    p: Probability = Field(0.5, description="probability, for each slice on its own")
    degrees: tuple[Angle, Angle] = Field((-10.0, 10.0), description="rotation, counter-clockwise")
    scale: tuple[Positive, Positive] = Field((0.9, 1.1), description="zoom, above 1 enlarges; evenly in its logarithm")
    shear: tuple[Slant, Slant] = Field((-5.0, 5.0), description="slant of the columns, degrees")
    shift_rows: tuple[Share, Share] = Field((-0.03, 0.03), description="share of the height, positive towards the feet")
    shift_columns: tuple[Share, Share] = Field((-0.05, 0.05), description="share of the width, positive to the back")


class ElasticConfig(Transform):
    """Smooth displacement: a cubic B-spline through a coarse grid of random control points."""

    p: Probability = Field(0.2, description="probability, for each slice on its own")
    control_points: Annotated[int, Field(ge=4, le=64)] = Field(7, description="per axis")
    magnitude: tuple[NonNegative, NonNegative] = Field(
        (0.0, 0.015), description="standard deviation of the displacement, share of the shorter side"
    )

    @model_validator(mode="after")
    def _no_folds(self) -> ElasticConfig:
        limit = MAX_STRAIN / max(self.control_points - 3, 1)
        if self.magnitude[1] > limit:
            raise ValueError(
                f"magnitude {self.magnitude[1]} with {self.control_points} control points would fold the image: "
                f"at most {limit:.4g} (or fewer control points)"
            )
        return self


class BiasFieldConfig(Transform):
    """Multiplicative smooth field, as from a surface coil; the background (the image's minimum) stays as it is."""

    p: Probability = Field(0.3, description="probability, for each slice on its own")
    coefficient: tuple[NonNegative, NonNegative] = Field(
        (0.1, 0.5), description="amplitude of the field's logarithm: c lets it range from exp(-c) to exp(c)"
    )


class TissueConfig(Transform):
    """Random contrast by the labels: each tissue gets a brightness of its own, all else a random map (see remap).

    A tissue is a kind of structure, such as all discs. Mean and deviation of the image stay.
    """

    mean: tuple[NonNegative, NonNegative] = Field(
        (0.05, 1.0), description="brightness of a tissue, share of the image's range"
    )
    spread: NonNegative = Field(0.05, description="standard deviation of the structures of one tissue about it")
    texture: tuple[NonNegative, NonNegative] = Field(
        (0.3, 1.2), description="factor of what differs from the mean within a structure"
    )
    knots: Knots = Field((3, 7), description="of the map of all that is not labelled")


class RemapConfig(Transform):
    """Random contrast without labels: intensities go through a random piecewise-linear map; mean and deviation stay.

    A map that is not monotone changes the order of the tissues: a network trained so on T2-like images finds T1 ones.
    """

    knots: Knots = Field(
        (3, 7), description="equidistant knots between an image's minimum, which stays, and its maximum, with it"
    )
    monotone: Probability = Field(0.5, description="share of the maps that never fall")


class ContrastConfig(Transform):
    """Linear change of intensities about the image's mean."""

    p: Probability = Field(0.15, description="probability, for each slice on its own")
    contrast: tuple[Positive, Positive] = Field((0.75, 1.25), description="factor; evenly in its logarithm")
    brightness: tuple[FiniteFloat, FiniteFloat] = Field(
        (-0.1, 0.1), description="added, in units of the image's standard deviation"
    )


class GammaConfig(Transform):
    """Contrast: x -> x**gamma on each image's own range; its mean and standard deviation are kept."""

    p: Probability = Field(0.3, description="probability, for each slice on its own")
    gamma: tuple[Positive, Positive] = Field((0.7, 1.5), description="exponent; evenly in its logarithm")


class NoiseConfig(Transform):
    """Additive Gaussian noise."""

    p: Probability = Field(0.2, description="probability, for each slice on its own")
    std: tuple[NonNegative, NonNegative] = Field((0.0, 0.1), description="in units of the image's standard deviation")


class BlurConfig(Transform):
    """Gaussian blur."""

    p: Probability = Field(0.1, description="probability, for each slice on its own")
    sigma: tuple[NonNegative, Annotated[FiniteFloat, Field(ge=0.0, le=20.0)]] = Field((0.5, 1.2), description="pixels")


class LowResolutionConfig(Transform):
    """Down and up again, as from a coarser scan."""

    p: Probability = Field(0.1, description="probability, for each slice on its own")
    zoom: tuple[Positive, Annotated[FiniteFloat, Field(gt=0.0, le=1.0)]] = Field(
        (0.5, 1.0), description="size of the coarse image, share of the slice's"
    )


class GhostingConfig(Transform):
    """Motion or ghosting: periodic copies along the phase-encoding axis (rows or columns, by chance)."""

    p: Probability = Field(0.05, description="probability, for each slice on its own")
    ghosts: tuple[Annotated[int, Field(ge=2)], Annotated[int, Field(ge=2, le=64)]] = Field(
        (2, 6), description="copies across the field of view"
    )
    intensity: tuple[NonNegative, Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]] = Field(
        (0.1, 0.4), description="share of the signal lost in every n-th line of k-space, n being the number of copies"
    )


class DropContrastConfig(Transform):
    """Leave contrasts of an exam out (``data.contrasts``), so that the network learns to do without any of them."""

    p: Probability = Field(0.0, description="probability, for each contrast of a slice; one that is there always stays")


class AugmentConfig(BaseModel):
    """Applied to training batches, on their device, and to nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(True, description="false: no augmentation at all, whatever the probabilities")
    flip: FlipConfig = Field(default_factory=FlipConfig)
    affine: AffineConfig = Field(default_factory=AffineConfig)
    elastic: ElasticConfig = Field(default_factory=ElasticConfig)
    tissue: TissueConfig = Field(default_factory=TissueConfig)
    remap: RemapConfig = Field(default_factory=RemapConfig)
    contrast: ContrastConfig = Field(default_factory=ContrastConfig)
    gamma: GammaConfig = Field(default_factory=GammaConfig)
    bias_field: BiasFieldConfig = Field(default_factory=BiasFieldConfig)
    low_resolution: LowResolutionConfig = Field(default_factory=LowResolutionConfig)
    blur: BlurConfig = Field(default_factory=BlurConfig)
    ghosting: GhostingConfig = Field(default_factory=GhostingConfig)
    noise: NoiseConfig = Field(default_factory=NoiseConfig)
    drop_contrast: DropContrastConfig = Field(default_factory=DropContrastConfig)
    torchio: tuple[dict[str, dict[str, Any]], ...] = Field(
        (), description="TorchIO transforms by name with their arguments, run in the loader's workers"
    )
