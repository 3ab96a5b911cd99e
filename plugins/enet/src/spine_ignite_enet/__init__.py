"""ENet as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.spec import ModelOptions, ModelSpec, Paper


class ENetOptions(ModelOptions):
    """Options of ENet."""

    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.1, description="channel dropout from stage 2 on; stage 1 has a tenth of it"
    )


SPEC = ModelSpec(
    name="enet",
    target="spine_ignite_enet.model:ENet",
    summary="Bottlenecks at low resolution; 0.36 M parameters, very fast",
    paper=Paper(
        title="ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation",
        authors="A. Paszke, A. Chaurasia, S. Kim, E. Culurciello",
        venue="arXiv",
        year=2016,
        url="https://arxiv.org/abs/1606.02147",
        bibtex_key="paszke2016enet",
    ),
    options=ENetOptions,
    parameters=364_162,
    encoder=("initial", "down1", "stage1", "down2", "stage2", "stage3"),
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``enet``."""
    register(SPEC)
