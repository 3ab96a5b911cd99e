"""The sections of a run's configuration; each field's description is its documentation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from spine_ignite.config.augment import AugmentConfig
from spine_ignite.config.data import DataConfig, Size
from spine_ignite.config.optimization import OptimizerConfig, ScheduleConfig
from spine_ignite.config.section import Fraction, PositiveInt, Section


def _from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Named(Section):
    """A component by its name, or by name and options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


Components = tuple[Annotated[Named, BeforeValidator(_from_name)], ...]


class ModelConfig(BaseModel):
    """Which architecture; every other key is one of its own options, checked by its plugin."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field("unet", description="a name from list-models")

    @property
    def options(self) -> dict[str, Any]:
        """The keys besides ``name``: options of the architecture, not yet validated."""
        return dict(self.model_extra or {})


def _weights(value: Any) -> Any:
    """Say once what is wrong, not for each kind of value that may be given."""
    if isinstance(value, dict):
        for name, weight in value.items():
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
                raise ValueError(f"the weight of {name} must be a finite number from 0 up, not {weight!r}")
    elif value not in (None, "auto"):
        raise ValueError("must be auto, or weights by class, as in {L5: 2}")
    return value


class LossConfig(Section):
    """The loss, by name (``dice_ce``, ``dice``, ``focal`` …), and its own options."""

    name: str = "dice_ce"
    options: dict[str, Any] = Field(default_factory=dict, description="passed to the loss")
    class_weights: Annotated[
        Literal["auto"] | dict[str, Annotated[float, Field(ge=0)]] | None, BeforeValidator(_weights)
    ] = Field(
        None,
        description="what classes weigh in the loss: {name: weight}, others 1; auto: by the inverse square root of "
        "their share of the training voxels",
    )


def _from_source(value: Any) -> Any:
    return {"source": str(value)} if isinstance(value, (str, Path)) else value


class StartConfig(Section):
    """The trained network that training starts from."""

    source: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class TrainConfig(Section):
    """Length of training and what happens along the way."""

    epochs: PositiveInt | None = Field(None, description="default 100 if minutes is not given either")
    minutes: Annotated[float, Field(gt=0)] | None = Field(
        None, description="time budget, validation included; the schedule ends with it"
    )
    steps_per_epoch: PositiveInt | None = Field(None, description="default: once through the training slices")
    accumulate: PositiveInt = Field(1, description="steps whose gradients are added before an update")
    start_from: Annotated[StartConfig, BeforeValidator(_from_source)] | None = Field(
        None,
        description="a trained network whose weights are taken where they fit: a run, a file (best.pt, or of export), "
        "or a published network (list-components); config.yaml records it as {source: …, sha256: …}",
    )
    freeze: tuple[str, ...] = Field(
        (),
        description="parts that are not trained, nor their running statistics renewed: encoder, head, or what names "
        "of parameters begin with, also as a pattern (encoder.*.conv1.*)",
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(12.0, description="largest gradient norm; null: any")
    clip_value: Annotated[float, Field(gt=0)] | None = Field(
        None, description="largest size of any one derivative, clipped before the norm; default: any"
    )
    ema: Fraction | None = Field(
        None, description="decay of an exponential moving average of the weights, judged and saved"
    )
    sync_batch_norm: bool = Field(
        False, description="with several processes, batch norm over the rows of all; default: each over its own"
    )
    validate_every: PositiveInt = Field(1, description="epochs between validations")
    metrics: Components = Field(
        (),
        description="metrics of validation besides the core's own, of plugins (list-components): names, or "
        "{name: …, options: {…}}",
    )
    checkpoint_every: PositiveInt = Field(1, description="epochs between checkpoints")
    patience: PositiveInt | None = Field(None, description="validations without improvement before stopping early")
    monitor: str = Field(
        "validation/dice",
        description="the recorded figure (a name in metrics.jsonl) that best.pt and patience look at",
    )
    monitor_mode: Literal["min", "max"] | None = Field(
        None, description="whether less or more of it is better; default: less of a loss, fnr or fpr, more of others"
    )
    overfit_batches: Annotated[int, Field(ge=0)] = Field(
        0, description="overfit check: train on and validate by this many fixed batches, as they are; 0: off"
    )

    @model_validator(mode="after")
    def _one_length(self) -> TrainConfig:
        if self.epochs is not None and self.minutes is not None:
            raise ValueError("give epochs or minutes, not both (the other is null): the schedule needs one end")
        return self


def _check_window(value: Any) -> Any:
    is_size = isinstance(value, (list, tuple)) and len(value) == 2 and all(type(n) is int and n > 0 for n in value)
    if value is None or value == "whole" or is_size:
        return value
    raise ValueError("must be rows and columns, as in [256, 256], or whole")


class PredictConfig(Section):
    """What is done to predictions by evaluate and predict, unless they are told otherwise."""

    postprocess: tuple[str, ...] = Field(
        (),
        description="clean-up steps: levels, components, holes, or a plugin's (list-components); "
        "spine-ignite postprocess finds those that help",
    )
    tta: bool = Field(False, description="test-time augmentation: the mean of several views of each slice")
    window: Annotated[Literal["whole"] | Size | None, BeforeValidator(_check_window)] = Field(
        None,
        description="rows and columns of a sliding window, or whole for whole slices; "
        "default: of a run trained on patches the patch, else whole slices",
    )
    overlap: Fraction = Field(0.5, description="of neighbouring windows")
    risk: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(
        0.02,
        description="probability of a wrong column among those whose levels are accepted (docs/levels.md)",
    )


class LogConfig(Section):
    """What TensorBoard gets, and whether the doctor watches."""

    tensorboard: bool = True
    doctor: bool = Field(True, description="watch the run and say in plain words what is wrong with it")
    pictures_every: Annotated[int, Field(ge=0)] = Field(1, description="validations between sample pictures; 0: none")
    volumes_every: Annotated[int, Field(ge=0)] = Field(0, description="epochs between predicted volumes; 0: none")
    trackers: Components = Field(
        (), description="further trackers, of plugins (list-components): names, or {name: …, options: {…}}"
    )


class RunConfig(Section):
    """Everything that defines a run; ``config.yaml`` in a run directory holds one, resolved."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        0, description="of the split, the weights and all that is random"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: bf16 where the device computes it fast, else fp32"
    )
    channels_last: bool = Field(True, description="memory layout of images; faster on most devices")
    compile: bool = Field(False, description="torch.compile the network")
    cudnn_benchmark: bool = Field(True, description="let cuDNN time its algorithms (not repeatable bit for bit)")
    threads: PositiveInt | None = Field(None, description="CPU threads of a step; default: torch's choice")
    model: ModelConfig = Field(default_factory=ModelConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    loss: LossConfig = Field(default_factory=LossConfig)
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    log: LogConfig = Field(default_factory=LogConfig)
    predict: PredictConfig = Field(default_factory=PredictConfig)

    @model_validator(mode="after")
    def _something_to_drop(self) -> RunConfig:
        if self.augment.drop_contrast.p and len(self.data.contrasts) < 2:
            raise ValueError(
                "augment.drop_contrast leaves contrasts out, and needs two or more: name them in data.contrasts, or "
                "set augment.drop_contrast.p to 0"
            )
        return self
