"""CaraNet as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, ReverseAttentionOptions
from spine_ignite.spec import ModelSpec, Paper


class CaraNetOptions(ReverseAttentionOptions):
    """Options of CaraNet."""

    backbone: str = Field("res2net101d", description=BACKBONE)
    height_axis: Literal["paper", "release"] = Field(
        "paper", description="attention along columns as in the paper, or what the authors' code computes instead"
    )
    channels: Annotated[int, Field(ge=16, le=512, multiple_of=16)] = Field(
        32, description="of the reduced levels; the paper has 32"
    )
    dilation: Annotated[int, Field(ge=4, le=32)] = Field(
        8, description="largest rate of the feature pyramid, less one; the paper has 8"
    )


SPEC = ModelSpec(
    name="caranet",
    target="spine_ignite_caranet.model:CaraNet",
    summary="Reverse attention with axial attention; made for small structures",
    paper=Paper(
        title="CaraNet: Context Axial Reverse Attention Network for Segmentation of Small Medical Objects",
        authors="A. Lou, S. Guan, H. Ko, M. Loew",
        venue="SPIE Medical Imaging",
        year=2022,
        url="https://arxiv.org/abs/2108.07368",
        bibtex_key="lou2022caranet",
    ),
    options=CaraNetOptions,
    parameters=44_611_414,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``caranet``."""
    register(SPEC)
