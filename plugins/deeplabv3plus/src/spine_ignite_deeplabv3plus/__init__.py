"""DeepLabv3+ as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, MultiGridOptions, OutputStride, Rates
from spine_ignite.spec import ModelSpec, Paper


class DeepLabV3PlusOptions(MultiGridOptions):
    """Options of DeepLabv3+."""

    backbone: str = Field("resnet101", description=BACKBONE)
    output_stride: OutputStride = Field(16, description="input pixels per pixel of the encoder's last feature map")
    rates: Rates = Field(
        (6, 12, 18), description="dilations of the pyramid at output stride 16; doubled at 8, halved at 32"
    )
    channels: Annotated[int, Field(ge=8, le=2048)] = Field(256, description="of pyramid and decoder; the paper has 256")
    low_channels: Annotated[int, Field(ge=4, le=512)] = Field(
        48, description="of the fine features in the decoder; the paper has 48"
    )
    separable: bool | None = Field(
        None, description="depthwise separable convolutions in pyramid and decoder; default: with an Xception"
    )
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.1, description="after the pyramid and before the classifier"
    )


SPEC = ModelSpec(
    name="deeplabv3plus",
    target="spine_ignite_deeplabv3plus.model:DeepLabV3Plus",
    summary="DeepLabv3 with a decoder that brings back fine borders",
    paper=Paper(
        title="Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation",
        authors="L.-C. Chen, Y. Zhu, G. Papandreou, F. Schroff, H. Adam",
        venue="ECCV",
        year=2018,
        url="https://arxiv.org/abs/1802.02611",
        bibtex_key="chen2018deeplabv3plus",
    ),
    options=DeepLabV3PlusOptions,
    parameters=59_337_780,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``deeplabv3plus``."""
    register(SPEC)
