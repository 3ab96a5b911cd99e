"""PSANet as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, DilatedBackboneOptions
from spine_ignite.spec import ModelSpec, Paper


class PSANetOptions(DilatedBackboneOptions):
    """Options of PSANet."""

    backbone: str = Field("resnet101s", description=BACKBONE)
    attention: Literal["both", "collect", "distribute"] = Field("both", description="which branches")
    crop: Annotated[int, Field(ge=33, le=2049)] = Field(
        465, description="input size that the attention's mask covers; the released models have 465 and 705"
    )
    channels: Annotated[int, Field(ge=8, le=2048)] = Field(512, description="of attention and head; the paper has 512")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.1, description="channel dropout before the classifiers")


SPEC = ModelSpec(
    name="psanet",
    target="spine_ignite_psanet.model:PSANet",
    summary="Every pixel learns where to collect from and where to distribute to",
    paper=Paper(
        title="PSANet: Point-wise Spatial Attention Network for Scene Parsing",
        authors="H. Zhao, Y. Zhang, S. Liu, J. Shi, C. C. Loy, D. Lin, J. Jia",
        venue="ECCV",
        year=2018,
        url="https://hszhao.github.io/projects/psanet",
        bibtex_key="zhao2018psanet",
    ),
    options=PSANetOptions,
    parameters=72_164_712,
    aux_align_corners=True,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``psanet``."""
    register(SPEC)
