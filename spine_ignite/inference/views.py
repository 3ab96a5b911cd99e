"""Test-time augmentation: the ways in which a slice is shown to the network, undone on what it answers.

Only what training could have shown is shown, since a network need not know anything else:

- The neighbour slices in reverse order, where a network sees neighbours (``data.context_slices``): the patient mirrored
  from left to right. Also where ``augment.flip.neighbours`` was off: a spine is nearly symmetric, and the label schemes
  know no sides.
- Mirrors, if the run was trained with them (``augment.flip``); by default it was not.
- A small turn to either side, a zoom in and out, if the run was trained with ``augment.affine``: half way to the limits
  of what it drew from.

Mirrors come in all combinations, turns and zooms each on its own: 5 views with the default augmentation.

Sources: Moshkov et al., Scientific Reports 10:5068 (2020), the mean of views in segmentation; Isensee et al., Nature
Methods 18:203 (2021), all combinations of mirrors.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.batches.augment.spatial import affine_coefficients, sampling_grid, warp_image
from spine_ignite.config import AugmentConfig


@dataclass(frozen=True, slots=True)
class View:
    """One way to show a batch; without arguments as it is.

    Args:
        neighbours: reverse the order of the channels, those of each contrast.
        columns: mirror front to back.
        rows: mirror head to foot.
        degrees: turn, counter-clockwise.
        scale: zoom, above 1 enlarges.
        contrasts: that the channels hold, one after the other.
    """

    neighbours: bool = False
    columns: bool = False
    rows: bool = False
    degrees: float = 0.0
    scale: float = 1.0
    contrasts: int = 1

    def __str__(self) -> str:
        done = {
            "neighbours reversed": self.neighbours,
            "columns mirrored": self.columns,
            "rows mirrored": self.rows,
            f"turned by {self.degrees:g} degrees": self.degrees != 0,
            f"zoomed by {self.scale:.4g}": self.scale != 1,
        }
        return ", ".join(text for text, is_done in done.items() if is_done) or "as it is"

    def show(self, batch: Tensor) -> Tensor:
        """Return images ``(B, C, H, W)`` as this view shows them; outside an image is its own minimum."""
        mirrored = batch.flip(self._mirrored_axes())
        if self.neighbours:
            mirrored = mirrored.unflatten(1, (self.contrasts, -1)).flip(2).flatten(1, 2)
        if not self._resamples:
            return mirrored
        grid = self._grid(batch, inverse=False)
        return warp_image(mirrored, grid.expand(len(batch), -1, -1, -1), self.contrasts)

    def undo(self, answer: Tensor) -> tuple[Tensor, Tensor]:
        """Map what was answered to a view back to the images as they are.

        Args:
            answer: ``(B, C, H, W)``, of classes.

        Returns:
            The answer's values ``(B, C, H, W)``, and where the view had the pixel ``(1, 1, H, W)``, 1 or 0: turning and
            zooming push pixels over the edge.
        """
        seen = torch.ones((1, 1, *answer.shape[-2:]), device=answer.device)
        if self._resamples:
            grid = self._grid(answer, inverse=True)
            seen = (grid.abs() <= 1).all(dim=-1)[:, None].float()
            answer = F.grid_sample(
                answer, grid.expand(len(answer), -1, -1, -1), padding_mode="border", align_corners=False
            )
        return answer.flip(self._mirrored_axes()), seen.flip(self._mirrored_axes())

    @property
    def _resamples(self) -> bool:
        return self.degrees != 0 or self.scale != 1

    def _mirrored_axes(self) -> list[int]:
        flags = {-2: self.rows, -1: self.columns}
        return [axis for axis, flag in flags.items() if flag]

    def _grid(self, like: Tensor, inverse: bool) -> Tensor:
        """Where each pixel ``(1, H, W, 2)`` of the view is read in the image, or of the image in the view."""
        plain = torch.zeros(1)
        turn, zoom = torch.tensor([self.degrees]), torch.tensor([self.scale])
        coefficients = affine_coefficients(turn, zoom, plain, torch.zeros(1, 2))
        if inverse:
            linear = torch.linalg.inv(coefficients[:, :, :2])
            coefficients = torch.cat([linear, torch.zeros(1, 2, 1, dtype=linear.dtype)], dim=2)
        return sampling_grid(coefficients.float().to(like.device), None, (like.shape[-2], like.shape[-1]))


def views_of(augment: AugmentConfig, context_slices: int, contrasts: int = 1) -> tuple[View, ...]:
    """Return the views that a run's training allows, the slice as it is first.

    Args:
        augment: what the run was trained with.
        context_slices: neighbours on each side that are channels.
        contrasts: of which each has such channels.
    """
    on = augment.enabled
    mirrors = itertools.product(
        (False, True) if context_slices else (False,),
        (False, True) if on and augment.flip.p > 0 else (False,),
        (False, True) if on and augment.flip.head_to_foot > 0 else (False,),
    )
    views = [View(*mirror, contrasts=contrasts) for mirror in mirrors]
    if on and augment.affine.p > 0:
        views += [View(degrees=angle, contrasts=contrasts) for angle in _halves(augment.affine.degrees) if angle]
        low, high = augment.affine.scale
        zooms = [math.exp(half) for half in _halves((math.log(low), math.log(high))) if half]
        views += [View(scale=zoom, contrasts=contrasts) for zoom in zooms]
    return tuple(dict.fromkeys(views))


def _halves(limits: tuple[float, float]) -> tuple[float, float]:
    """Half way from what changes least to either limit; 0 changes nothing, if it lies between them."""
    low, high = limits
    least = min(max(0.0, low), high)
    return (least + low) / 2, (least + high) / 2
