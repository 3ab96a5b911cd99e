"""BiSeNetV2 as a spine-ignite plugin: what is registered; the network is in ``model.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite.spec import ModelOptions, ModelSpec, Paper


class BiSeNetV2Options(ModelOptions):
    """Options of BiSeNetV2."""

    design: Literal["paper", "port"] = Field(
        "paper", description="layers as in the paper's figures, or as in the widely used port by CoinCheung"
    )
    boosters: bool = Field(True, description="auxiliary classifiers on the semantic branch, in training only")
    head_channels: Annotated[int, Field(ge=16, le=4096)] = Field(
        1024, description="channels before the classifier; the reference has 1024"
    )
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.1, description="before the classifiers")


SPEC = ModelSpec(
    name="bisenetv2",
    target="spine_ignite_bisenetv2.model:BiSeNetV2",
    summary="A branch for detail and one for meaning that gate each other; fast",
    paper=Paper(
        title="BiSeNet V2: Bilateral Network with Guided Aggregation for Real-time Semantic Segmentation",
        authors="C. Yu, C. Gao, J. Wang, G. Yu, C. Shen, N. Sang",
        venue="IJCV",
        year=2021,
        url="https://doi.org/10.1007/s11263-021-01515-2",
        bibtex_key="yu2021bisenetv2",
    ),
    options=BiSeNetV2Options,
    size_multiple=32,
    parameters=3_645_908,
    encoder=("detail", "semantic"),
)


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``bisenetv2``."""
    register(SPEC)
