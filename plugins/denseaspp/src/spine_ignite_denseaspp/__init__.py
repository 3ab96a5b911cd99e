"""DenseASPP as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import DilatedBackboneOptions, Rates
from spine_ignite.spec import ModelSpec, Paper


class DenseASPPOptions(DilatedBackboneOptions):
    """Options of DenseASPP."""

    backbone: Literal["densenet121", "densenet161", "densenet169", "densenet201"] = Field(
        "densenet169", description="encoder, a DenseNet of timm"
    )
    rates: Rates = Field((3, 6, 12, 18, 24), description="dilations of the cascade")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.1, description="channel dropout in the cascade and before the classifier"
    )


SPEC = ModelSpec(
    name="denseaspp",
    target="spine_ignite_denseaspp.model:DenseASPP",
    summary="Densely connected dilated convolutions on a DenseNet",
    paper=Paper(
        title="DenseASPP for Semantic Segmentation in Street Scenes",
        authors="M. Yang, K. Yu, C. Zhang, Z. Li, K. Yang",
        venue="CVPR",
        year=2018,
        url="https://openaccess.thecvf.com/content_cvpr_2018/html/Yang_DenseASPP_for_Semantic_CVPR_2018_paper.html",
        bibtex_key="yang2018denseaspp",
    ),
    options=DenseASPPOptions,
    parameters=18_416_076,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``denseaspp``."""
    register(SPEC)
