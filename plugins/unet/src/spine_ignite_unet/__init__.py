"""U-Net as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.spec import ModelOptions, ModelSpec, Paper


class UNetOptions(ModelOptions):
    """Options of the U-Net."""

    width: Annotated[int, Field(ge=4, le=256)] = Field(32, description="channels of the first level; the paper has 64")
    depth: Annotated[int, Field(ge=2, le=8)] = Field(
        6, description="resolution levels, each half the size of the one above; the paper has 5"
    )
    max_width: Annotated[int, Field(ge=4, le=2048)] = Field(
        512, description="the channels double at each level up to this; the paper has 1024"
    )
    norm: Literal["batch", "instance", "group", "none"] = Field(
        "batch", description="normalisation after each convolution; the paper has none"
    )
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="at the end of the contracting path")
    upsampling: Literal["transposed", "bilinear"] = Field(
        "transposed", description="2x2 transposed convolution as in the paper, or bilinear and a 1x1 convolution"
    )
    deep_supervision: bool = Field(False, description="auxiliary logits at every decoder level, halved weight at each")
    stem_stride: Literal[1, 2, 4] = Field(
        1, description="the first level's stride: fine pixels are folded into channels, and out of them for the logits"
    )

    @model_validator(mode="after")
    def _widths_grow(self) -> UNetOptions:
        if self.max_width < self.width:
            raise ValueError(f"max_width {self.max_width} is below the first level's width {self.width}")
        return self


SPEC = ModelSpec(
    name="unet",
    target="spine_ignite_unet.model:UNet",
    summary="Encoder-decoder with skip connections; strong, small and fast",
    paper=Paper(
        title="U-Net: Convolutional Networks for Biomedical Image Segmentation",
        authors="O. Ronneberger, P. Fischer, T. Brox",
        venue="MICCAI",
        year=2015,
        url="https://doi.org/10.1007/978-3-319-24574-4_28",
        bibtex_key="ronneberger2015unet",
    ),
    options=UNetOptions,
    parameters=20_612_756,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``unet``."""
    register(SPEC)
