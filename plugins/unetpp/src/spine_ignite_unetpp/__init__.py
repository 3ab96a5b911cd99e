"""UNet++ as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BackboneOptions
from spine_ignite.spec import ModelSpec, Paper


class UNetPlusPlusOptions(BackboneOptions):
    """Options of UNet++."""

    backbone: str = Field("none", description="none (the paper has its own encoder), or any timm name with pyramids")
    width: Annotated[int, Field(ge=4, le=256)] = Field(
        32, description="channels of the own encoder's first level; the paper has 32"
    )
    depth: Annotated[int, Field(ge=2, le=7)] = Field(5, description="levels of the own encoder; the paper has 5")
    norm: Literal["batch", "instance", "group", "none"] = Field(
        "batch", description="normalisation after each convolution; the release has none"
    )
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0, description="dropout of single values after each convolution; the release has 0.5"
    )
    deep_supervision: bool = Field(
        False, description="a classifier on every node of the finest level; averaged in eval mode"
    )

    @model_validator(mode="after")
    def _weights_have_an_encoder(self) -> UNetPlusPlusOptions:
        if self.backbone == "none" and (self.pretrained or self.weights):
            raise ValueError("pretrained and weights need a timm encoder: set backbone")
        return self


SPEC = ModelSpec(
    name="unetpp",
    target="spine_ignite_unetpp.model:UNetPlusPlus",
    summary="U-Net with a grid of nodes in its skip connections",
    paper=Paper(
        title="UNet++: Redesigning Skip Connections to Exploit Multiscale Features in Image Segmentation",
        authors="Z. Zhou, M. M. R. Siddiquee, N. Tajbakhsh, J. Liang",
        venue="IEEE TMI",
        year=2020,
        url="https://arxiv.org/abs/1912.05074",
        bibtex_key="zhou2020unetpp",
    ),
    options=UNetPlusPlusOptions,
    parameters=9_045_876,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``unetpp``."""
    register(SPEC)
