"""DANet as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, MultiGridOptions
from spine_ignite.spec import ModelSpec, Paper


class DANetOptions(MultiGridOptions):
    """Options of DANet."""

    backbone: str = Field("resnet101", description=BACKBONE)
    channels: Annotated[int, Field(ge=8, le=2048)] = Field(512, description="of each branch; the paper has 512")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.1, description="channel dropout before the classifiers")


SPEC = ModelSpec(
    name="danet",
    target="spine_ignite_danet.model:DANet",
    summary="Attention between all pixels and between all channels, side by side",
    paper=Paper(
        title="Dual Attention Network for Scene Segmentation",
        authors="J. Fu, J. Liu, H. Tian, Y. Li, Y. Bao, Z. Fang, H. Lu",
        venue="CVPR",
        year=2019,
        url="https://arxiv.org/abs/1809.02983",
        bibtex_key="fu2019danet",
    ),
    options=DANetOptions,
    parameters=66_450_046,
    aux_align_corners=True,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``danet``."""
    register(SPEC)
