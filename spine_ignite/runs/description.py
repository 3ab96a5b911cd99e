"""What a file of weights says about its network, and whether that can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from spine_ignite.config.data import MOST_CONTEXT, MOST_CONTRASTS, BorderRule, Contrast, channels_of
from spine_ignite.config.section import Section
from spine_ignite.datasets.split import Sha256
from spine_ignite.errors import RunError, SpineIgniteError
from spine_ignite.labels import LabelScheme
from spine_ignite.names import brief
from spine_ignite.registry import Distribution
from spine_ignite.validation_errors import describe

FORMAT = 1

# Beyond what any scanner gives; a description that asks for more would take memory without end.
_SIDE = 16384
_PIXELS = 2**24
_MOST_IMAGES = 10**6

_Whole = Annotated[int, Field(strict=True)]
_Millimetres = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0.01, le=100.0)]
_Percent = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0.0, le=100.0)]
_Pixels = Annotated[_Whole, Field(ge=1, le=_SIDE)]


class _State(Section):
    """The fields of a description, as they must be in a file that anyone may have written."""

    format: _Whole = Field(FORMAT, description="of the description")
    model: Annotated[str, Field(max_length=200)]
    options: Annotated[dict[str, Any], Field(max_length=200)]
    in_channels: _Whole
    num_classes: _Whole
    scheme: dict[str, Any]
    spacing: tuple[_Millimetres, _Millimetres]
    clip_percentiles: tuple[_Percent, _Percent]
    context_slices: Annotated[_Whole, Field(ge=0, le=MOST_CONTEXT)]
    size: tuple[_Pixels, _Pixels]
    contrasts: Annotated[tuple[Contrast, ...], Field(max_length=MOST_CONTRASTS)] = ()
    border: BorderRule = "all"  # of checkpoints that are older than the other rule
    plugin: Annotated[str, Field(max_length=200)] | None = None
    images: Annotated[tuple[Sha256, ...], Field(max_length=_MOST_IMAGES)] | None = None


@dataclass(frozen=True)
class Description:
    """All that is needed to use a network without its run's configuration; plain data in a checkpoint.

    ``plugin`` is the distribution that the architecture comes from, and is built by ever after. ``images`` has the
    SHA-256 of the voxels of every image that the weights were trained on, those that they started from too (see
    :func:`spine_ignite.volumes.digests.voxels_sha256`); None: not known, of older checkpoints. ``contrasts`` are the
    images of an exam that the channels hold, of each the slice and its neighbours; none: one image, whatever it is.
    """

    model: str
    options: dict[str, Any]
    in_channels: int
    scheme: LabelScheme
    spacing: tuple[float, float]
    clip_percentiles: tuple[float, float]
    context_slices: int
    size: tuple[int, int]
    border: BorderRule = "inside"
    plugin: Distribution | None = None
    images: tuple[str, ...] | None = None
    contrasts: tuple[str, ...] = ()

    def state_dict(self) -> dict[str, Any]:
        """Plain data that ``torch.load(weights_only=True)`` accepts."""
        return {
            "format": FORMAT,
            "model": self.model,
            "options": dict(self.options),
            "in_channels": self.in_channels,
            "num_classes": self.scheme.num_classes,
            "scheme": self.scheme.to_dict(),
            "spacing": list(self.spacing),
            "clip_percentiles": list(self.clip_percentiles),
            "context_slices": self.context_slices,
            "size": list(self.size),
            "border": self.border,
            "plugin": None if self.plugin is None else str(self.plugin),
            "images": None if self.images is None else list(self.images),
            # Older versions refuse what they do not know, and would feed such a network one image.
            **({"contrasts": list(self.contrasts)} if self.contrasts else {}),
        }

    @classmethod
    def from_state(cls, state: Any, path: Path) -> Description:
        """Read and check what :meth:`state_dict` gave; nothing in it is believed.

        Raises:
            RunError: it comes from another version, is not a description, or asks for what cannot be; the message
                names the field.
        """
        if not isinstance(state, Mapping) or state.get("format") != FORMAT:
            raise RunError(f"{path} is not a checkpoint of this version of spine-ignite (format {FORMAT})")
        try:
            fields = _State.model_validate(dict(state))
            scheme = LabelScheme.from_dict(fields.scheme, source="its label scheme")
            _require_sense(fields, scheme)
            plugin = None if fields.plugin is None else Distribution.parse(fields.plugin)
        except ValidationError as error:
            raise RunError(f"the description in {path} cannot be used: {describe(error, _State)}") from error
        except (SpineIgniteError, ValueError) as error:
            raise RunError(f"the description in {path} cannot be used: {error}") from error
        return cls(
            model=fields.model,
            options=dict(fields.options),
            in_channels=fields.in_channels,
            scheme=scheme,
            spacing=fields.spacing,
            clip_percentiles=fields.clip_percentiles,
            context_slices=fields.context_slices,
            size=fields.size,
            border=fields.border,
            plugin=plugin,
            images=fields.images,
            contrasts=fields.contrasts,
        )

    def require_same(self, other: Description, path: Path) -> None:
        """Refuse a checkpoint of another network.

        Raises:
            RunError: model, options, channels, classes or the rule for borders differ; the message says how.
        """
        pairs = {
            "model": (self.model, other.model),
            "number of classes": (self.scheme.num_classes, other.scheme.num_classes),
            "label scheme": (self.scheme.name, other.scheme.name),
            "number of input channels": (self.in_channels, other.in_channels),
            "contrasts": (list(self.contrasts), list(other.contrasts)),
            "model options": (self.options, other.options),
            "rule for borders (data.border)": (self.border, other.border),
        }
        for what, (mine, theirs) in pairs.items():
            if mine != theirs:
                raise RunError(
                    f"{path} does not fit this run: its {what} is {brief(theirs)}, the run's is {brief(mine)}"
                )


def _require_sense(fields: _State, scheme: LabelScheme) -> None:
    """Compare the fields with each other."""
    channels = channels_of(fields.contrasts, fields.context_slices)
    if fields.in_channels != channels:
        raise ValueError(
            f"in_channels is {fields.in_channels}, but context_slices {fields.context_slices} gives {channels}"
            + (f" for {len(fields.contrasts)} contrasts" if fields.contrasts else "")
        )
    if len({name.lower() for name in fields.contrasts}) < len(fields.contrasts):
        raise ValueError("contrasts names one twice")
    if fields.num_classes != scheme.num_classes:
        raise ValueError(f"num_classes is {fields.num_classes}, but its label scheme has {scheme.num_classes}")
    low, high = fields.clip_percentiles
    if low >= high:
        raise ValueError(f"clip_percentiles must rise, got {low:g} and {high:g}")
    if fields.size[0] * fields.size[1] > _PIXELS:
        raise ValueError(f"size is {fields.size[0]} x {fields.size[1]}, above {_PIXELS:,} pixels")
