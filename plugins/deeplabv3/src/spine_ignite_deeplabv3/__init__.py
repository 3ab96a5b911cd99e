"""DeepLabv3 as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, MultiGridOptions, OutputStride, Rates
from spine_ignite.spec import ModelSpec, Paper


class DeepLabV3Options(MultiGridOptions):
    """Options of DeepLabv3."""

    backbone: str = Field("resnet101", description=BACKBONE)
    output_stride: OutputStride = Field(16, description="input pixels per pixel of the encoder's last feature map")
    rates: Rates = Field(
        (6, 12, 18), description="dilations of the pyramid at output stride 16; doubled at 8, halved at 32"
    )
    channels: Annotated[int, Field(ge=8, le=2048)] = Field(256, description="of the pyramid; the paper has 256")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="before the classifier")
    aux_weight: Annotated[float, Field(ge=0.0, le=10.0)] = Field(
        0.0, description="weight of an auxiliary head on stage 3, which the paper lacks; 0: none"
    )


SPEC = ModelSpec(
    name="deeplabv3",
    target="spine_ignite_deeplabv3.model:DeepLabV3",
    summary="Dilated convolutions of several rates side by side, and the slice's mean",
    paper=Paper(
        title="Rethinking Atrous Convolution for Semantic Image Segmentation",
        authors="L.-C. Chen, G. Papandreou, F. Schroff, H. Adam",
        venue="arXiv",
        year=2017,
        url="https://arxiv.org/abs/1706.05587",
        bibtex_key="chen2017deeplabv3",
    ),
    options=DeepLabV3Options,
    parameters=58_034_132,
    aux_align_corners=True,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``deeplabv3``."""
    register(SPEC)
