"""FCN as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BackboneOptions
from spine_ignite.spec import ModelSpec, Paper

VGG = Literal["vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]


class FCNOptions(BackboneOptions):
    """Options of FCN."""

    backbone: VGG = Field("vgg16", description="encoder, a VGG of timm; the paper has vgg16")
    variant: Literal["8s", "16s", "32s"] = Field("8s", description="stride of the last deconvolution")
    padding: Literal["release", "same"] = Field(
        "release", description="100 pixels around the image as in the release, or convolutions that keep the size"
    )
    fc_channels: Annotated[int, Field(ge=8, le=8192)] = Field(
        4096, description="channels of the fully connected layers; the paper has 4096"
    )
    learn_upsampling: bool = Field(False, description="let the deconvolutions learn; fixed in the release")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.5, description="after the fully connected layers")


SPEC = ModelSpec(
    name="fcn",
    target="spine_ignite_fcn.model:FCN",
    summary="VGG as convolutions, with scores of three strides added; the ancestor of them all",
    paper=Paper(
        title="Fully Convolutional Networks for Semantic Segmentation",
        authors="J. Long, E. Shelhamer, T. Darrell",
        venue="CVPR",
        year=2015,
        url="https://arxiv.org/abs/1411.4038",
        bibtex_key="long2015fcn",
    ),
    options=FCNOptions,
    parameters=134_356_732,
    encoder=("stages", "classifier"),
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``fcn``."""
    register(SPEC)
