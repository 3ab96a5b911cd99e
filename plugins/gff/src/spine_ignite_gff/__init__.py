"""GFF as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, DilatedBackboneOptions
from spine_ignite.spec import ModelSpec, Paper


class GFFOptions(DilatedBackboneOptions):
    """Options of GFF."""

    backbone: str = Field("resnet101s", description=BACKBONE)
    channels: Annotated[int, Field(ge=8, le=2048)] = Field(256, description="of every level; the paper has 256")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.1, description="channel dropout before the classifiers")


SPEC = ModelSpec(
    name="gff",
    target="spine_ignite_gff.model:GFF",
    summary="Four levels exchange features through gates, then a dense pyramid",
    paper=Paper(
        title="Gated Fully Fusion for Semantic Segmentation",
        authors="X. Li, H. Zhao, L. Han, Y. Tong, S. Tan, K. Yang",
        venue="AAAI",
        year=2020,
        url="https://arxiv.org/abs/1904.01803",
        bibtex_key="li2020gff",
    ),
    options=GFFOptions,
    parameters=67_895_148,
    aux_align_corners=True,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``gff``."""
    register(SPEC)
