"""CCNet as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, DilatedBackboneOptions
from spine_ignite.spec import ModelSpec, Paper


class CCNetOptions(DilatedBackboneOptions):
    """Options of CCNet."""

    backbone: str = Field("resnet101s", description=BACKBONE)
    channels: Annotated[int, Field(ge=8, le=2048)] = Field(
        512, description="of the attention and the head; the paper has 512"
    )
    recurrence: Annotated[int, Field(ge=1, le=4)] = Field(
        2, description="times that the attention is applied, with shared weights"
    )
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.1, description="channel dropout before the classifiers")


SPEC = ModelSpec(
    name="ccnet",
    target="spine_ignite_ccnet.model:CCNet",
    summary="Each pixel attends to its row and column, twice: global context at low cost",
    paper=Paper(
        title="CCNet: Criss-Cross Attention for Semantic Segmentation",
        authors="Z. Huang, X. Wang, L. Huang, C. Huang, Y. Wei, W. Liu",
        venue="ICCV",
        year=2019,
        url="https://arxiv.org/abs/1811.11721",
        bibtex_key="huang2019ccnet",
    ),
    options=CCNetOptions,
    parameters=71_287_785,
    aux_align_corners=True,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``ccnet``."""
    register(SPEC)
