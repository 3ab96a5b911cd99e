"""SegFormer as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.spec import ModelOptions, ModelSpec, Paper


class SegFormerOptions(ModelOptions):
    """Options of SegFormer."""

    variant: Literal["b0", "b1", "b2", "b3", "b4", "b5"] = Field(
        "b0", description="size of encoder and decoder, from 4 (b0, fit for CPUs) to 85 million parameters (b5)"
    )
    weights: str | None = Field(
        None, description="start from this file with the encoder's weights, in the names of the authors' release"
    )
    decoder_width: Annotated[int, Field(ge=16, le=2048)] | None = Field(
        None, description="channels of the decoder; default: 256 for b0 and b1, 768 for the others"
    )
    drop_path: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.1, description="probability of leaving out the last block's branches in training"
    )
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.1, description="channel dropout before the classifier")


SPEC = ModelSpec(
    name="segformer",
    target="spine_ignite_segformer.model:SegFormer",
    summary="Transformer of four levels with a light decoder of linear layers",
    paper=Paper(
        title="SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers",
        authors="E. Xie, W. Wang, Z. Yu, A. Anandkumar, J. M. Alvarez, P. Luo",
        venue="NeurIPS",
        year=2021,
        url="https://arxiv.org/abs/2105.15203",
        bibtex_key="xie2021segformer",
    ),
    options=SegFormerOptions,
    parameters=3_716_148,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``segformer``."""
    register(SPEC)
