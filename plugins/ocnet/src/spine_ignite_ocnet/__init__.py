"""OCNet as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, DilatedBackboneOptions
from spine_ignite.spec import ModelSpec, Paper


class OCNetOptions(DilatedBackboneOptions):
    """Options of OCNet."""

    backbone: str = Field("resnet101s", description=BACKBONE)
    context: Literal["base", "pyramid", "asp"] = Field(
        "base", description="object context alone, within grids of four sizes, or beside dilated convolutions"
    )
    channels: Annotated[int, Field(ge=8, le=2048)] = Field(512, description="of the head; the paper has 512")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.05, description="channel dropout after the context; the release has 0.1 with asp"
    )


SPEC = ModelSpec(
    name="ocnet",
    target="spine_ignite_ocnet.model:OCNet",
    summary="Every pixel gathers context from the pixels of its own object",
    paper=Paper(
        title="OCNet: Object Context Network for Scene Parsing",
        authors="Y. Yuan, J. Wang",
        venue="arXiv",
        year=2018,
        url="https://arxiv.org/abs/1809.00916",
        bibtex_key="yuan2018ocnet",
    ),
    options=OCNetOptions,
    parameters=57_722_728,
    aux_align_corners=True,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``ocnet``."""
    register(SPEC)
