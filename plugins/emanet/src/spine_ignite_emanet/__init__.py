"""EMANet as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, DilatedBackboneOptions
from spine_ignite.spec import ModelSpec, Paper


class EMANetOptions(DilatedBackboneOptions):
    """Options of EMANet."""

    backbone: str = Field("resnet101s", description=BACKBONE)
    channels: Annotated[int, Field(ge=8, le=2048)] = Field(512, description="of the attention unit; the paper has 512")
    bases: Annotated[int, Field(ge=2, le=1024)] = Field(64, description="number of bases; the paper has 64")
    rounds: Annotated[int, Field(ge=1, le=10)] = Field(3, description="E and M steps in a pass; the paper has 3")
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.9, description="share of the bases that stays at each training step"
    )
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.1, description="channel dropout before the classifier")


SPEC = ModelSpec(
    name="emanet",
    target="spine_ignite_emanet.model:EMANet",
    summary="Rebuilds the features from 64 moving bases found by expectation-maximisation",
    paper=Paper(
        title="Expectation-Maximization Attention Networks for Semantic Segmentation",
        authors="X. Li, Z. Zhong, J. Wu, Y. Yang, Z. Lin, H. Liu",
        venue="ICCV",
        year=2019,
        url="https://arxiv.org/abs/1907.13426",
        bibtex_key="li2019emanet",
    ),
    options=EMANetOptions,
    parameters=53_509_460,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``emanet``."""
    register(SPEC)
