"""ResUNet as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.spec import ModelOptions, ModelSpec, Paper


class ResUNetOptions(ModelOptions):
    """Options of ResUNet."""

    width: Annotated[int, Field(ge=4, le=256)] = Field(64, description="channels of the first level; the paper has 64")
    depth: Annotated[int, Field(ge=2, le=7)] = Field(
        4, description="resolution levels, each half the size of the one above; the paper has 4"
    )
    upsampling: Literal["nearest", "bilinear"] = Field("nearest", description="how the decoder doubles the size")


SPEC = ModelSpec(
    name="resunet",
    target="spine_ignite_resunet.model:ResUNet",
    summary="U-Net of residual units, strides in place of pooling",
    paper=Paper(
        title="Road Extraction by Deep Residual U-Net",
        authors="Z. Zhang, Q. Liu, Y. Wang",
        venue="IEEE GRSL",
        year=2018,
        url="https://doi.org/10.1109/LGRS.2018.2802944",
        bibtex_key="zhang2018resunet",
    ),
    options=ResUNetOptions,
    parameters=8_223_764,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``resunet``."""
    register(SPEC)
