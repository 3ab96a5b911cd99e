"""TorchIO transforms by name, for the loader's workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torchio as tio
from torch import Tensor

from spine_ignite.errors import UsageError, suggest
from spine_ignite.seeds import torch_seed


def resolve_torchio(entries: Sequence[dict[str, dict[str, Any]]]) -> Any:
    """Build a ``torchio.Compose`` from ``[{RandomSwap: {patch_size: 8}}, …]``.

    Raises:
        UsageError: a name is not a TorchIO transform, or its arguments are refused.
    """
    return tio.Compose([_build(entry) for entry in entries])


def apply_torchio(transform: Any, image: Tensor, label: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Apply a transform to an image and its mask, with randomness from ``seed`` alone.

    Args:
        transform: a TorchIO transform.
        image: float32 ``(C, I, J, K)``; not changed.
        label: uint8 ``(1, I, J, K)``; not changed.
        seed: seeds torch's generator, the only one that TorchIO draws from.

    Raises:
        UsageError: the transform fails, or changes the shape of the image or the mask.
    """
    subject = tio.Subject(image=tio.ScalarImage(tensor=image), label=tio.LabelMap(tensor=label))
    try:
        with torch_seed(seed):
            result = transform(subject)
    except Exception as error:  # whatever a transform raises, the configuration has asked for it
        message = " ".join(str(error).split())[:300]
        raise UsageError(f"augment.torchio cannot be applied to a slice or volume of this data: {message}") from error
    changed = result["image"].data.float(), result["label"].data
    if changed[0].shape != image.shape or changed[1].shape != label.shape:
        raise UsageError(
            "augment.torchio must keep the shape of image and mask, but turns "
            f"{tuple(image.shape)} and {tuple(label.shape)} into "
            f"{tuple(changed[0].shape)} and {tuple(changed[1].shape)}; remove the transform that does so"
        )
    return changed[0], changed[1].to(label.dtype)


def _build(entry: dict[str, dict[str, Any]]) -> Any:
    if len(entry) != 1:
        raise UsageError(f"augment.torchio: each entry is one transform with its arguments, got {sorted(entry)}")
    ((name, arguments),) = entry.items()
    known = {
        key: value
        for key, value in vars(tio).items()
        if isinstance(value, type)
        and issubclass(value, tio.Transform)
        and key not in ("Transform", "Compose", "Lambda")
    }
    if name not in known:
        by_lower = {key.lower(): key for key in known}
        closest = suggest(name, by_lower)
        for lower, key in by_lower.items():
            closest = closest.replace(f"'{lower}'", f"'{key}'")
        raise UsageError(f"augment.torchio: TorchIO has no transform '{name}'.{closest}")
    try:
        return known[name](**(arguments or {}))
    except (TypeError, ValueError) as error:
        raise UsageError(f"augment.torchio: {name} refuses its arguments: {' '.join(str(error).split())}") from error
