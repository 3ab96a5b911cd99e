"""ANN as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, DilatedBackboneOptions
from spine_ignite.spec import ModelSpec, Paper


class ANNOptions(DilatedBackboneOptions):
    """Options of ANN."""

    backbone: str = Field("resnet101s", description=BACKBONE)
    anchors: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=8)] = Field(
        (1, 3, 6, 8), description="grids whose cells are keys and values"
    )
    channels: Annotated[int, Field(ge=8, le=2048)] = Field(512, description="of the head; the paper has 512")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.05, description="channel dropout after each block")


SPEC = ModelSpec(
    name="ann",
    target="spine_ignite_ann.model:ANN",
    summary="Attention to 110 pooled anchors in place of all pixels, within and across stages",
    paper=Paper(
        title="Asymmetric Non-local Neural Networks for Semantic Segmentation",
        authors="Z. Zhu, M. Xu, S. Bai, T. Huang, X. Bai",
        venue="ICCV",
        year=2019,
        url="https://arxiv.org/abs/1908.07678",
        bibtex_key="zhu2019ann",
    ),
    options=ANNOptions,
    aliases=("annnet",),
    parameters=67_694_184,
    aux_align_corners=True,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``ann``."""
    register(SPEC)
