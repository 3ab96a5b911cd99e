"""TransUNet as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.spec import ModelOptions, ModelSpec, Paper


class TransUNetOptions(ModelOptions):
    """Options of TransUNet."""

    pretrained: bool = Field(False, description="start from timm's ImageNet-21k weights, fetched once from its hub")
    weights: str | None = Field(None, description="start from this file of weights, in timm's names, instead")
    layers: Annotated[int, Field(ge=1, le=48)] = Field(12, description="of the transformer; the paper has 12")
    width: Annotated[int, Field(ge=16, le=4096)] = Field(768, description="of the tokens; the paper has 768")
    heads: Annotated[int, Field(ge=1, le=64)] = Field(12, description="of the attention; the paper has 12")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.1, description="of the embedded tokens and in the MLPs")

    @model_validator(mode="after")
    def _consistent(self) -> TransUNetOptions:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} cannot be split between {self.heads} heads")
        if (self.pretrained or self.weights) and (self.layers, self.width, self.heads) != (12, 768, 12):
            raise ValueError("weights exist for 12 layers, width 768 and 12 heads only: leave these as they are")
        return self


SPEC = ModelSpec(
    name="transunet",
    target="spine_ignite_transunet.model:TransUNet",
    summary="ResNet and transformer as the encoder of a U-Net; wants pretrained weights",
    paper=Paper(
        title="TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation",
        authors="J. Chen, Y. Lu, Q. Yu, X. Luo, E. Adeli, Y. Wang, L. Lu, A. L. Yuille, Y. Zhou",
        venue="arXiv",
        year=2021,
        url="https://arxiv.org/abs/2102.04306",
        bibtex_key="chen2021transunet",
    ),
    options=TransUNetOptions,
    size_multiple=16,
    parameters=105_272_404,
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``transunet``."""
    register(SPEC)
