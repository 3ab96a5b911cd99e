"""ResUNet++ as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import Rates
from spine_ignite.spec import ModelOptions, ModelSpec, Paper


class ResUNetPlusPlusOptions(ModelOptions):
    """Options of ResUNet++."""

    width: Annotated[int, Field(ge=4, le=256)] = Field(16, description="channels of the first level; the paper has 16")
    rates: Rates = Field((1, 6, 12, 18), description="dilations of the two pyramids")
    ratio: Annotated[int, Field(ge=1, le=64)] = Field(8, description="reduction of the squeeze-and-excitation")


SPEC = ModelSpec(
    name="resunetpp",
    target="spine_ignite_resunetpp.model:ResUNetPlusPlus",
    summary="Residual U-Net with channel gates, atrous pyramids and attention; 4 M parameters",
    paper=Paper(
        title="ResUNet++: An Advanced Architecture for Medical Image Segmentation",
        authors="D. Jha, P. H. Smedsrud, M. A. Riegler, D. Johansen, T. de Lange, P. Halvorsen, H. D. Johansen",
        venue="IEEE ISM",
        year=2019,
        url="https://arxiv.org/abs/1911.07067",
        bibtex_key="jha2019resunetpp",
    ),
    options=ResUNetPlusPlusOptions,
    parameters=4_062_996,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``resunetpp``."""
    register(SPEC)
