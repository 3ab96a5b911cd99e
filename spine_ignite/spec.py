"""The model contract: what a plugin says about an architecture, and what its network returns.

Nothing here imports torch, so that a plugin's entry module stays cheap to load.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import Tensor

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class ModelOptions(BaseModel):
    """Base of an architecture's options: a closed, immutable schema.

    Give every field a default, a range (``Field(ge=…, le=…)`` or ``Literal``) and a ``description``:
    ``show-model`` prints them and ``--set model.<option>=…`` is checked against them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Paper:
    """The publication that an architecture follows."""

    title: str
    authors: str
    venue: str
    year: int
    url: str
    bibtex_key: str


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One architecture: its name, where its builder lives, its paper and its options.

    Args:
        name: what ``--model`` takes: lower case letters, digits and underscores.
        target: ``"package.module:Callable"``, imported only when a model is built and called as
            ``target(in_channels=…, num_classes=…, **options)``; returns an ``nn.Module``.
        summary: one line for ``list-models``.
        paper: the publication.
        options: the class of the architecture's options.
        aliases: other names under which the model is found.
        size_multiple: H and W are padded by the core to a multiple of this, and the logits cropped back.
        parameters: trainable parameters with default options, one input channel and 20 classes, for ``list-models``,
            which builds no network; the conformance kit checks the number.

    Raises:
        ValueError: a field does not follow these rules.
    """

    name: str
    target: str
    summary: str
    paper: Paper
    options: type[ModelOptions] = ModelOptions
    aliases: tuple[str, ...] = ()
    size_multiple: int = 1
    parameters: int | None = None

    def __post_init__(self) -> None:
        for name in (self.name, *self.aliases):
            if not _NAME.fullmatch(name):
                raise ValueError(f"model name {name!r} must match {_NAME.pattern}")
        if not _TARGET.fullmatch(self.target):
            raise ValueError(f"target {self.target!r} of model {self.name!r} must look like 'package.module:Name'")
        if not (isinstance(self.options, type) and issubclass(self.options, ModelOptions)):
            raise ValueError(f"options of model {self.name!r} must be a subclass of ModelOptions")
        if self.size_multiple < 1:
            raise ValueError(f"size_multiple of model {self.name!r} must be at least 1, got {self.size_multiple}")


@dataclass(frozen=True, slots=True)
class Aux:
    """Auxiliary logits of any size, the weight of their loss, and what they are compared with.

    Args:
        logits: ``(B, num_classes, h, w)``, or ``(B, 1, h, w)`` for edges.
        weight: of the loss.
        target: ``label``: the reference, with the run's loss. ``edge``: whether a pixel lies beside a border between
            any two classes, with binary cross-entropy (the edge branch of Inf-Net, Fan et al. 2020, section III-B).
    """

    logits: Tensor
    weight: float
    target: Literal["label", "edge"] = "label"


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """What a network may return in training mode in place of plain logits.

    Args:
        logits: main logits, ``(B, num_classes, H, W)`` at the input's size.
        aux: deep supervision by name; each is resized to the label's size and adds ``weight * loss``.
        penalties: model-specific scalar losses by name, added as they are.
    """

    logits: Tensor
    aux: Mapping[str, Aux] = field(default_factory=dict)
    penalties: Mapping[str, Tensor] = field(default_factory=dict)
