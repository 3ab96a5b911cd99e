"""The section ``data`` of a configuration: where the data is and how slices are made from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from spine_ignite.config.datasets import DatasetConfig, Patients
from spine_ignite.config.phantoms import PhantomConfig
from spine_ignite.config.section import Fraction, PositiveInt, Section
from spine_ignite.errors import UsageError

Size = tuple[PositiveInt, PositiveInt]
BorderRule = Literal["inside", "all"]
NanRule = Literal["refuse", "border"]


def check_orientation(value: str) -> str:
    """Return an orientation in capitals, such as ``PSR``.

    Raises:
        ValueError: it is not a letter of each of L or R, A or P, S or I.
    """
    letters = value.upper()
    if sorted("RLAPSI".index(letter) // 2 if letter in "RLAPSI" else -1 for letter in letters) != [0, 1, 2]:
        raise ValueError(f"must be where the three axes point to, such as PSR or RAS, got {value!r}")
    return letters


MOST_CONTEXT = 5  # neighbouring slices on each side
MOST_CONTRASTS = 16


def channels_of(contrasts: Sequence[str], context_slices: int) -> int:
    """Return how many input channels a network has: of each contrast a slice and its neighbours on both sides."""
    return max(1, len(contrasts)) * (1 + 2 * context_slices)


class PatchConfig(Section):
    """Patch training (``data.sampling: patches``), on TorchIO's queue."""

    size: Size = Field((128, 128), description="rows and columns of a patch, in pixels of the common spacing")
    samples_per_volume: PositiveInt = Field(8, description="patches drawn from a volume each time it is loaded")
    queue_length: PositiveInt = Field(128, description="patches held in memory to be shuffled")
    sampler: Literal["uniform", "label"] = Field("label", description="uniform, or label: every class equally likely")


_LONGEST_CONTRAST = 40  # characters


def _check_contrast(value: str) -> str:
    if not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_.+-]{{0,{_LONGEST_CONTRAST - 1}}}", value):
        raise ValueError(f"must be a name such as t1 or T2w: letters, digits and _ . + -, not {value!r}")
    return value


Contrast = Annotated[str, AfterValidator(_check_contrast)]


def _check_batch_size(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError:  # one for each kind of value
        raise ValueError("must be a whole number of at least 1, or auto") from None


class DataConfig(Section):
    """Where the data is and how slices are made from it."""

    root: Path = Field(Path("dataset"), description="dataset folder: train/ and test/, nnU-Net raw, or SPIDER")
    cache: Path | None = Field(
        None, description="slice store, a folder of its own; default: in .spine-ignite-cache in the dataset"
    )
    scheme: str = Field(
        "mrspineseg",
        description="label scheme: a registered name, a YAML file, nnU-Net's dataset.json, or BIDS's dseg.tsv",
    )
    masks: str | None = Field(
        None, description="label scheme of the masks in root, if it is another: they are read in data.scheme"
    )
    labelled: tuple[str, ...] | None = Field(
        None, description="classes of data.scheme that the masks in root label; default: all that their scheme has"
    )
    also: tuple[DatasetConfig, ...] = Field((), description="further datasets, trained on together with root")
    phantoms: Annotated[int, Field(ge=0)] = Field(
        0, description="synthetic cases mixed into each epoch, drawn anew in each; they take the place of real slices"
    )
    phantom_options: PhantomConfig = Field(default_factory=PhantomConfig)
    num_classes: PositiveInt | None = Field(None, description="must equal the scheme's; here to be checked")
    spacing: tuple[float, float] | None = Field(
        None, description="in-plane spacing (rows, columns) in mm; default: the training cases' median"
    )
    size: Size | None = Field(
        None,
        description="rows and columns of a training slice after crop or pad; default: the largest training slice",
    )
    context_slices: Annotated[int, Field(ge=0, le=MOST_CONTEXT)] = Field(
        0, description="neighbouring slices on each side given as further channels"
    )
    contrasts: Annotated[tuple[Contrast, ...], Field(max_length=MOST_CONTRASTS)] = Field(
        (),
        description="images of one exam that are given as channels, such as [t1, t2]: what names of files end in "
        "(docs/formats.md); list first the one that the masks are drawn on; default: each image is a case of its own",
    )
    in_channels: PositiveInt | None = Field(
        None, description="must equal contrasts x (1 + 2 context_slices); here to be checked"
    )
    clip_percentiles: tuple[float, float] = Field((0.5, 99.5), description="intensities are clipped to these")
    orientation: Annotated[str, AfterValidator(check_orientation)] | None = Field(
        None,
        description="where the voxel axes point to, such as PSR, in files that say nothing about it (identity, spacing "
        "alone, no affine); default: such files are refused",
    )
    nan: NanRule = Field(
        "refuse", description="NaN in images: refuse them, or border: what is outside the field of view"
    )
    border: BorderRule = Field(
        "inside",
        description="inside: a constant border (of stitching, turning or padding) does not enter the normalisation; "
        "all: it does",
    )
    split: Path | None = Field(
        None,
        description="a split to take as it is: a run's split.json, a cross-validation's splits.json or nnU-Net's "
        "splits_final.json (fold is the entry), SPIDER's overview.csv, or lists in YAML or JSON; default: by the seed",
    )
    patients: Patients | None = Field(
        None,
        description="whose a case is: a regular expression on its name with one group, or a CSV file with the columns "
        "case and patient; default: what the name tells, else each case its own",
    )
    fraction: Annotated[float, Field(gt=0.0, le=1.0)] = Field(1.0, description="share of the training patients used")
    validation: Fraction = Field(0.2, description="share of the training patients held out, when fold is not given")
    folds: Annotated[int, Field(ge=2)] = Field(5, description="number of cross-validation folds")
    fold: Annotated[int, Field(ge=0)] | None = Field(
        None, description="the fold held out for validation, or the entry of a list of splits"
    )
    sampling: Literal["slices", "patches"] = Field("slices", description="train on whole slices or on patches")
    patch: PatchConfig = Field(default_factory=PatchConfig)
    batch_size: Annotated[PositiveInt | Literal["auto"], WrapValidator(_check_batch_size)] = Field(
        8, description="slices or patches in a step; auto: as many as fit into memory, found by trying"
    )
    workers: Annotated[int, Field(ge=0)] = Field(0, description="loader processes; 0 reads in the main process")
    foreground_share: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.0, description="least share of a batch's slices that must contain a structure"
    )

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if self.split is None and self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist: folds are numbered 0 to {self.folds - 1}")
        if self.spacing is not None and min(self.spacing) <= 0:
            raise ValueError(f"spacing must be positive, got {self.spacing}")
        low, high = self.clip_percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(f"clip_percentiles must satisfy 0 <= low < high <= 100, got {self.clip_percentiles}")
        if self.in_channels is not None and self.in_channels != self.channels:
            raise ValueError(
                f"in_channels is {self.in_channels}, but context_slices {self.context_slices} gives {self.channels}"
                + (f" for {len(self.contrasts)} contrasts" if self.contrasts else "")
            )
        return self

    @model_validator(mode="after")
    def _contrasts_told_apart(self) -> DataConfig:
        lower = [name.lower() for name in self.contrasts]
        twice = next((name for name in lower if lower.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"contrasts names {twice} twice; name each once")
        if self.contrasts and self.phantoms:
            raise ValueError("phantoms show one contrast: set phantoms to 0, or leave contrasts out")
        return self

    @model_validator(mode="after")
    def _slices_of_phantoms(self) -> DataConfig:
        if self.phantoms and self.sampling != "slices":
            raise ValueError("phantoms are mixed into whole slices: set sampling to slices, or phantoms to 0")
        return self

    @model_validator(mode="after")
    def _told_apart(self) -> DataConfig:
        names = [dataset.name for dataset in self.also]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two datasets of also are called {twice[0]}; give one another name")
        return self

    @property
    def roots(self) -> dict[str, Path]:
        """The folders of all datasets, by the keys that name them."""
        return {"data.root": self.root, **{f"data.also.{n}.root": item.root for n, item in enumerate(self.also)}}

    @property
    def channels(self) -> int:
        """Input channels of the network: of each contrast the slice and its neighbours on both sides."""
        return channels_of(self.contrasts, self.context_slices)

    @property
    def items_per_batch(self) -> int:
        """``batch_size`` as the number that it must be by the time batches are made.

        Raises:
            UsageError: it is still ``auto``.
        """
        if self.batch_size == "auto":
            raise UsageError("data.batch_size is auto, which is for new runs: give a number here")
        return self.batch_size
