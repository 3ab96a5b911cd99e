"""ESPNet as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.spec import ModelOptions, ModelSpec, Paper


class ESPNetOptions(ModelOptions):
    """Options of ESPNet."""

    p: Annotated[int, Field(ge=1, le=32)] = Field(2, description="ESP blocks at stride 4; the paper has 2")
    q: Annotated[int, Field(ge=1, le=32)] = Field(8, description="ESP blocks at stride 8; the paper has 3, 5 and 8")
    encoder_only: bool = Field(False, description="ESPNet-C: the encoder's logits at stride 8, resized")


SPEC = ModelSpec(
    name="espnet",
    target="spine_ignite_espnet.model:ESPNet",
    summary="Spatial pyramids of dilated convolutions; 0.36 M parameters",
    paper=Paper(
        title="ESPNet: Efficient Spatial Pyramid of Dilated Convolutions for Semantic Segmentation",
        authors="S. Mehta, M. Rastegari, A. Caspi, L. Shapiro, H. Hajishirzi",
        venue="ECCV",
        year=2018,
        url="https://arxiv.org/abs/1803.06815",
        bibtex_key="mehta2018espnet",
    ),
    options=ESPNetOptions,
    size_multiple=8,
    parameters=363_743,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``espnet``."""
    register(SPEC)
