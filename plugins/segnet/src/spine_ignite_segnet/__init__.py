"""SegNet as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BackboneOptions
from spine_ignite.spec import ModelSpec, Paper


class SegNetOptions(BackboneOptions):
    """Options of SegNet."""

    backbone: Literal["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"] = Field(
        "vgg16_bn", description="encoder, a VGG of timm with batch norm; the paper has vgg16_bn"
    )


SPEC = ModelSpec(
    name="segnet",
    target="spine_ignite_segnet.model:SegNet",
    summary="VGG encoder; the decoder puts values back where the maxima were",
    paper=Paper(
        title="SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation",
        authors="V. Badrinarayanan, A. Kendall, R. Cipolla",
        venue="TPAMI",
        year=2017,
        url="https://arxiv.org/abs/1511.00561",
        bibtex_key="badrinarayanan2017segnet",
    ),
    options=SegNetOptions,
    parameters=29_453_396,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``segnet``."""
    register(SPEC)
