"""Load the authors' weights into the encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spine_ignite.errors import RunError, UsageError

# Parts of the authors' files that are not the encoder: the classifier of ImageNet, and the segmentation decoder.
_OTHER = ("head.", "decode_head.", "auxiliary_head.")


def load_encoder_weights(encoder: nn.Module, path: str | Path, in_channels: int) -> None:
    """Load a file of the authors' release (``mit_b0.pth``, or a trained SegFormer) into the encoder.

    The first convolution is adapted to other numbers of channels than the file's: each gets the sum of the filters,
    divided by the number of channels, so that a grey slice gives what it would give repeated in the file's channels.

    Args:
        encoder: a ``MixTransformer``.
        path: file that ``torch.save`` wrote: a state_dict, or a dictionary with one under ``state_dict``.
        in_channels: of the encoder.

    Raises:
        UsageError: there is no such file.
        RunError: it is no file of weights, or names or shapes differ.
    """
    weights = _read(path)
    first = "patch_embed1.proj.weight"
    if first in weights and weights[first].ndim == 4 and weights[first].shape[1] != in_channels:
        weights[first] = weights[first].sum(1, keepdim=True).repeat(1, in_channels, 1, 1) / in_channels
    expected = encoder.state_dict()
    wrong = [f"{key} is missing" for key in expected if key not in weights]
    wrong += [f"{key} is unknown" for key in weights if key not in expected]
    wrong += [
        f"{key} has shape {tuple(value.shape)} instead of {tuple(expected[key].shape)}"
        for key, value in weights.items()
        if key in expected and value.shape != expected[key].shape
    ]
    if wrong:
        raise RunError(
            f"{path} does not fit this variant of SegFormer: {'; '.join(wrong[:3])}"
            f"{f'; and {len(wrong) - 3} more' if len(wrong) > 3 else ''}; set model.variant to what the file holds"
        )
    encoder.load_state_dict(weights)


def _read(path: str | Path) -> dict[str, Tensor]:
    """Read the encoder's part of a file, in the encoder's names."""
    if not Path(path).is_file():
        raise UsageError(f"weights: '{path}' is not a file")
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a reader of pickles may say anything of a file that is none
        raise RunError(f"{path} cannot be read as weights: {error}") from error
    if isinstance(found, dict):
        found = found.get("state_dict", found)
    if not (isinstance(found, dict) and all(isinstance(value, Tensor) for value in found.values())):
        raise RunError(f"{path} holds no dictionary of weights")
    return {key.removeprefix("backbone."): value for key, value in found.items() if not key.startswith(_OTHER)}
