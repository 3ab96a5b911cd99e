"""GCN as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.nn.encoder_options import BACKBONE, BackboneOptions
from spine_ignite.spec import ModelSpec, Paper


class GCNOptions(BackboneOptions):
    """Options of GCN."""

    backbone: str = Field("resnet152", description=BACKBONE)
    kernel: Annotated[int, Field(ge=3, le=63)] = Field(
        15, description="odd length of the large kernels; the paper has 15"
    )
    upsampling: Literal["transposed", "bilinear"] = Field(
        "transposed", description="the paper's deconvolutions, or bilinear without parameters"
    )

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"must be odd, got {kernel}")
        return kernel


SPEC = ModelSpec(
    name="gcn",
    target="spine_ignite_gcn.model:GCN",
    summary="Large separable kernels to the classes at every level, refined borders",
    paper=Paper(
        title="Large Kernel Matters: Improve Semantic Segmentation by Global Convolutional Network",
        authors="C. Peng, X. Zhang, G. Yu, G. Luo, J. Sun",
        venue="CVPR",
        year=2017,
        url="https://arxiv.org/abs/1703.02719",
        bibtex_key="peng2017gcn",
    ),
    options=GCNOptions,
    parameters=60_587_016,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``gcn``."""
    register(SPEC)
