"""Inf-Net as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, ReverseAttentionOptions
from spine_ignite.spec import ModelSpec, Paper


class InfNetOptions(ReverseAttentionOptions):
    """Options of Inf-Net."""

    backbone: str = Field("res2net50d", description=BACKBONE)
    channels: Annotated[int, Field(ge=8, le=512)] = Field(
        32, description="of the partial decoder's inputs; the paper has 32"
    )


SPEC = ModelSpec(
    name="infnet",
    target="spine_ignite_infnet.model:InfNet",
    summary="PraNet with supervised edges that guide every correction",
    paper=Paper(
        title="Inf-Net: Automatic COVID-19 Lung Infection Segmentation From CT Images",
        authors="D.-P. Fan, T. Zhou, G.-P. Ji, Y. Zhou, G. Chen, H. Fu, J. Shen, L. Shao",
        venue="IEEE TMI",
        year=2020,
        url="https://arxiv.org/abs/2004.14133",
        bibtex_key="fan2020infnet",
    ),
    options=InfNetOptions,
    parameters=31_100_854,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``infnet``."""
    register(SPEC)
