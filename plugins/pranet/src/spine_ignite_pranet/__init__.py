"""PraNet as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, ReverseAttentionOptions
from spine_ignite.spec import ModelSpec, Paper


class PraNetOptions(ReverseAttentionOptions):
    """Options of PraNet."""

    backbone: str = Field("res2net50d", description=BACKBONE)
    channels: Annotated[int, Field(ge=8, le=512)] = Field(
        32, description="of the partial decoder's inputs; the paper has 32"
    )


SPEC = ModelSpec(
    name="pranet",
    target="spine_ignite_pranet.model:PraNet",
    summary="A coarse map, corrected three times where it sees nothing",
    paper=Paper(
        title="PraNet: Parallel Reverse Attention Network for Polyp Segmentation",
        authors="D.-P. Fan, G.-P. Ji, T. Zhou, G. Chen, H. Fu, J. Shen, L. Shao",
        venue="MICCAI",
        year=2020,
        url="https://arxiv.org/abs/2006.11392",
        bibtex_key="fan2020pranet",
    ),
    options=PraNetOptions,
    parameters=30_526_452,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``pranet``."""
    register(SPEC)
