"""Options that every architecture with a timm encoder has; nothing here imports torch."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from pydantic import Field

from spine_ignite.spec import ModelOptions

OutputStride = Literal[8, 16, 32]
Rates = Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=8)]
Factors = Annotated[tuple[Annotated[int, Field(ge=1, le=16)], ...], Field(min_length=1, max_length=8)]
BACKBONE = "encoder: any timm name that gives feature pyramids"


class BackboneOptions(ModelOptions):
    """Which encoder, and where its weights come from."""

    backbone: str = Field("resnet50", description=BACKBONE)
    pretrained: bool = Field(False, description="start from timm's ImageNet weights, fetched once from its hub")
    weights: str | None = Field(None, description="start from this file with the encoder's weights instead")


class DilatedBackboneOptions(BackboneOptions):
    """The same for encoders that keep a fine grid by dilated convolutions."""

    output_stride: OutputStride = Field(8, description="input pixels per pixel of the encoder's last feature map")


class MultiGridOptions(DilatedBackboneOptions):
    """The same for encoders whose last stage has a dilation for each block (Chen et al. 2017, section 3.1)."""

    multi_grid: Factors = Field(
        (1, 2, 4), description="factors of the dilations in the last stage of a residual network, block by block"
    )


class ReverseAttentionOptions(BackboneOptions):
    """Options of the networks with reverse attention, PraNet, Inf-Net and CaraNet."""

    reverse: Literal["foreground", "classwise"] = Field(
        "foreground", description="weigh by the background's probability, or each class on its own (slow)"
    )


class BackboneArguments(TypedDict, total=False):
    """:class:`BackboneOptions` as they reach a network's constructor, which hands them on to ``build_encoder``."""

    backbone: str
    pretrained: bool
    weights: str | None


class DilatedBackboneArguments(BackboneArguments, total=False):
    """:class:`DilatedBackboneOptions` as they reach a network's constructor."""

    output_stride: int
