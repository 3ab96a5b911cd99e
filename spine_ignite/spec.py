"""The plugin contract: what is said about an architecture or a component, and what a network returns.

Nothing here imports torch, so that a plugin's entry module stays cheap to load.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from torch import Tensor

CONTRACT = 1  # the version of what this module and hookspecs describe; it grows when a plugin must be changed for it

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_COMPONENT_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_SUFFIX = re.compile(r"\.[a-z0-9]+(\.[a-z0-9]+)?")


class Options(BaseModel):
    """Base of the options of anything that a plugin brings: a closed, immutable schema.

    Give every field a default, a range (``Field(ge=…, le=…)`` or ``Literal``) and a ``description``, which is shown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelOptions(Options):
    """Base of an architecture's options; ``show-model`` prints them, ``--set model.<option>=…`` is checked by them."""


class OfClasses(Options):
    """Options of a clean-up step that may be restricted to structures, as in ``components:L5,L4``."""

    classes: tuple[str, ...] = Field((), description="names of the structures that are cleaned; none: all")


def require_contract(made_for: object) -> None:
    """Refuse what was made for another version of the plugin contract.

    Raises:
        ValueError: it was.
    """
    if made_for != CONTRACT:
        raise ValueError(
            f"made for version {made_for} of the plugin contract, and this spine-ignite has version {CONTRACT}; "
            "install versions of both that fit"
        )


@dataclass(frozen=True, slots=True)
class Component:
    """One thing that a configuration can name: its name, where it lives, and its options.

    What the target is and how it is called each hook of :mod:`spine_ignite.hookspecs` says for its kind.

    Args:
        name: lower case letters, digits, underscores and hyphens.
        target: ``"package.module:Callable"``, imported only when it is used; of a label scheme its YAML file, of a
            network its file of weights.
        summary: one line for ``list-components``.
        options: the class of its options; None: the keyword arguments of the target, by their names alone.
        suffixes: of a reader, the endings of the files that it reads, in lower case: ``(".nrrd",)``.
        contract: version of the plugin contract that it was made for.

    Raises:
        ValueError: a field does not follow these rules, or it was made for another contract.
    """

    name: str
    target: str
    summary: str
    options: type[Options] | None = None
    suffixes: tuple[str, ...] = ()
    contract: int = 1

    def __post_init__(self) -> None:
        require_contract(self.contract)
        if not _COMPONENT_NAME.fullmatch(self.name):
            raise ValueError(f"component name {self.name!r} must match {_COMPONENT_NAME.pattern}")
        if not (_TARGET.fullmatch(self.target) or self.target.endswith((".yaml", ".yml", ".safetensors"))):
            raise ValueError(f"target {self.target!r} of component {self.name!r} must look like 'package.module:Name'")
        if self.options is not None and not (isinstance(self.options, type) and issubclass(self.options, Options)):
            raise ValueError(f"options of component {self.name!r} must be a subclass of Options")
        for suffix in self.suffixes:
            if not _SUFFIX.fullmatch(suffix):
                raise ValueError(f"suffix {suffix!r} of component {self.name!r} must look like '.nrrd' or '.nii.gz'")


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
        aux_align_corners: how the loss resizes auxiliary logits to the label's size: true puts the outermost samples of
            both on each other, false their outer edges. To be what the authors' code does, as this moves what an
            auxiliary head learns by up to half a cell.
        encoder: what the names of the encoder's parameters begin with: of the part that is pretrained elsewhere, or
            sees the image first; ``train.freeze`` and ``optimizer.lr_factors`` know it as ``encoder``.
        contract: version of the plugin contract that it was made for.

    Raises:
        ValueError: a field does not follow these rules, or it was made for another contract.
    """

    name: str
    target: str
    summary: str
    paper: Paper
    options: type[ModelOptions] = ModelOptions
    aliases: tuple[str, ...] = ()
    size_multiple: int = 1
    parameters: int | None = None
    aux_align_corners: bool = False
    encoder: tuple[str, ...] = ("encoder",)
    contract: int = 1

    def __post_init__(self) -> None:
        require_contract(self.contract)
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
        aux: deep supervision by name; each is resized to the label's size, as the spec's ``aux_align_corners`` says,
            and adds ``weight * loss``.
        penalties: model-specific scalar losses by name, added as they are.
    """

    logits: Tensor
    aux: Mapping[str, Aux] = field(default_factory=dict)
    penalties: Mapping[str, Tensor] = field(default_factory=dict)
