"""Options that every architecture with a timm encoder has; nothing here imports torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spine_ignite.spec import ModelOptions

OutputStride = Literal[8, 16, 32]
BACKBONE = "encoder: any timm name that gives feature pyramids"


class BackboneOptions(ModelOptions):
    """Which encoder, and where its weights come from."""

    backbone: str = Field("resnet50", description=BACKBONE)
    pretrained: bool = Field(False, description="start from timm's ImageNet weights, fetched once from its hub")
    weights: str | None = Field(None, description="start from this file with the encoder's weights instead")


class DilatedBackboneOptions(BackboneOptions):
    """The same for encoders that keep a fine grid by dilated convolutions."""

    output_stride: OutputStride = Field(8, description="input pixels per pixel of the encoder's last feature map")
