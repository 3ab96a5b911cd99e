"""PSPNet as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, DilatedBackboneOptions
from spine_ignite.spec import ModelSpec, Paper


class PSPNetOptions(DilatedBackboneOptions):
    """Options of PSPNet."""

    backbone: str = Field("resnet50s", description=BACKBONE)
    channels: Annotated[int, Field(ge=8, le=2048)] = Field(
        512, description="of the 3x3 convolution before the classifier; the paper has 512"
    )
    bins: Annotated[tuple[Annotated[int, Field(ge=1, le=16)], ...], Field(min_length=1, max_length=8)] = Field(
        (1, 2, 3, 6), description="rows and columns of the pooling grids"
    )
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.1, description="channel dropout before the classifiers")


SPEC = ModelSpec(
    name="pspnet",
    target="spine_ignite_pspnet.model:PSPNet",
    summary="Averages over grids of four sizes give every pixel the context of the whole slice",
    paper=Paper(
        title="Pyramid Scene Parsing Network",
        authors="H. Zhao, J. Shi, X. Qi, X. Wang, J. Jia",
        venue="CVPR",
        year=2017,
        url="https://arxiv.org/abs/1612.01105",
        bibtex_key="zhao2017pspnet",
    ),
    options=PSPNetOptions,
    parameters=49_079_656,
    aux_align_corners=True,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``pspnet``."""
    register(SPEC)
