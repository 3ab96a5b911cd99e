"""Augmentation of a training batch, on the device it is on.

Whatever is random is drawn from generators seeded by ``(seed, iteration)`` alone: a resumed run augments as the
uninterrupted one, and nothing else in the program (loader workers, dropout) can change it. Decisions and parameters are
drawn on the CPU, so that they are the same on every device; only noise is drawn on the batch's device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from spine_ignite.batches.augment.contrast import intensity_map, remap
from spine_ignite.batches.augment.intensity import (
    add_ghosts,
    add_noise,
    apply_bias_field,
    bias_control,
    blur,
    change_contrast,
    change_gamma,
    lower_resolution,
)
from spine_ignite.batches.augment.spatial import affine_coefficients, elastic_displacement, sampling_grid, warp
from spine_ignite.config.augment import AugmentConfig, RemapConfig

# One uniform number per slice for each of these: switching a transform off leaves the others' draws as they were.
_DRAWS = (
    *("flip", "head_to_foot"),
    *("affine", "degrees", "scale", "shear", "shift_rows", "shift_columns"),
    *("elastic", "magnitude"),
    *("contrast", "contrast_factor", "brightness"),
    *("gamma", "gamma_exponent"),
    *("bias_field", "coefficient"),
    *("low_resolution", "zoom"),
    *("blur", "sigma"),
    *("ghosting", "ghosts", "intensity", "along_rows"),
    *("noise", "std"),
)
_STREAMS = ("draws", "elastic", "bias_field", "noise", "neighbours", "remap")


class BatchAugmenter:
    """Augments batches as an :class:`AugmentConfig` says; holds no state besides it and a seed.

    The order is that of a scan: anatomy (flips, affine, elastic), tissue contrast (remap, contrast, gamma), coil (bias
    field), acquisition (low resolution, blur, ghosting), receiver noise.

    Args:
        config: Probabilities and ranges.
        seed: Start of all randomness, any integer; processes of one distributed run should get different ones.
    """

    def __init__(self, config: AugmentConfig, seed: int) -> None:
        self.config = config
        self.seed = seed

    def __call__(self, image: Tensor, label: Tensor, iteration: int) -> tuple[Tensor, Tensor]:
        """Augment a batch; the tensors given are not changed.

        Args:
            image: ``(B, C, H, W)``, floating point, any memory format. The channels of a slice get the same transforms.
            label: ``(B, H, W)``, integers up to 2**24 (uint8 in this program), on the image's device.
            iteration: Number of the training step. With the seed it decides everything that is random.

        Returns:
            New, contiguous tensors of the same shapes, dtypes and device; the given ones if augmentation is disabled.

        Raises:
            ValueError: The shapes do not fit together.
        """
        if image.ndim != 4 or label.shape != (image.shape[0], *image.shape[2:]):
            raise ValueError(
                f"an image (B, C, H, W) and a label (B, H, W) belong together, got {tuple(image.shape)} "
                f"and {tuple(label.shape)}"
            )
        if not self.config.enabled:
            return image, label
        # Half precision and autocast are for the network; coordinates and statistics need float32.
        with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
            batch = _Batch(image, label, self.seed, iteration)
            _deform(batch, self.config)
            _recolour(batch, self.config)
            _acquire(batch, self.config)
            return batch.image.to(image.dtype), batch.label


class _Batch:
    """A copy of a batch in float32 with its random numbers; the transforms change it in place."""

    def __init__(self, image: Tensor, label: Tensor, seed: int, iteration: int) -> None:
        self.image = torch.empty(image.shape, dtype=torch.float32, device=image.device).copy_(image)
        self.label = label.clone(memory_format=torch.contiguous_format)
        self._key = (seed, iteration)
        table = torch.rand(len(image), len(_DRAWS), generator=self.generator("draws"))
        self._draws = dict(zip(_DRAWS, table.T, strict=True))

    def generator(self, stream: str, device: torch.device | str = "cpu") -> torch.Generator:
        return torch.Generator(device).manual_seed(_mix(*self._key, _STREAMS.index(stream)))

    def chosen(self, name: str, p: float) -> Tensor:
        """Indices of the slices that get a transform."""
        hit: Tensor = self._draws[name] < p
        return hit.nonzero()[:, 0]

    def uniform(self, name: str, limits: tuple[float, float]) -> Tensor:
        low, high = limits
        drawn: Tensor = self._draws[name] * (high - low)
        return drawn + low

    def log_uniform(self, name: str, limits: tuple[float, float]) -> Tensor:
        low, high = limits
        drawn: Tensor = self._draws[name] * math.log(high / low)
        return drawn.exp() * low

    def edit(self, rows: Tensor, transform: Callable[..., None], *parameters: Tensor) -> None:
        """Run ``transform(images, *parameters)`` on some slices; ``parameters`` are of the whole batch, on the CPU."""
        for group in self.groups(rows):
            part = self.select(self.image, group)
            transform(part, *(parameter[group] for parameter in parameters))
            if 1 < len(group) < len(self.image):
                self.store(self.image, group, part)

    def select(self, tensor: Tensor, group: Tensor) -> Tensor:
        """Some slices of the batch's image or label; a view if they are one or all, else a copy."""
        if len(group) == len(tensor):
            return tensor
        if len(group) == 1:
            return tensor.narrow(0, int(group[0]), 1)
        return tensor.index_select(0, group.to(tensor.device, non_blocking=True))

    def store(self, tensor: Tensor, group: Tensor, part: Tensor) -> None:
        """Write slices back to where :meth:`select` took them from."""
        if 1 < len(group) < len(tensor):
            tensor.index_copy_(0, group.to(tensor.device, non_blocking=True), part)
        else:
            self.select(tensor, group).copy_(part)

    def groups(self, rows: Tensor) -> Sequence[Tensor]:
        """Slices to work on together, of those chosen."""
        if len(rows) == 0:
            return ()
        return torch.split(rows, 1) if _works_slice_by_slice(self.image.device) else (rows,)


def _works_slice_by_slice(device: torch.device) -> bool:
    """On a CPU, whose cache then holds a slice (2.4 times as fast as whole batches); elsewhere launches cost more."""
    return device.type == "cpu"


def _mix(*words: int) -> int:
    """A seed of 63 bits from several integers (SplitMix64's finaliser), so that near ones give unrelated streams.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    mask = (1 << 64) - 1
    state = 0
    for word in words:
        state = (state + (word & mask) + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state >> 1


def _deform(batch: _Batch, config: AugmentConfig) -> None:
    """Flip, affine and elastic: flips are exact copies, the other two one resampling of the slices that need it."""
    for name, p, axis in (("flip", config.flip.p, -1), ("head_to_foot", config.flip.head_to_foot, -2)):
        for row in batch.chosen(name, p).tolist():
            batch.image[row] = batch.image[row].flip(axis)
            batch.label[row] = batch.label[row].flip(axis)
    if config.flip.neighbours > 0:  # drawn from a stream of its own: another column of the table would move all others
        reverse = torch.rand(len(batch.image), generator=batch.generator("neighbours")) < config.flip.neighbours
        for row in reverse.nonzero()[:, 0].tolist():
            batch.image[row] = batch.image[row].flip(0)

    height, width = batch.image.shape[-2:]
    coefficients = _affine(batch, config)
    control = _control(batch, config)
    moved = (coefficients != torch.eye(2, 3)).any(dim=2).any(dim=1)
    bent = control.abs().amax(dim=(1, 2, 3)) > 0
    rows = (moved | bent).nonzero()[:, 0]
    device = batch.image.device
    for group in batch.groups(rows):
        displacement = None
        if bent[group].any():
            displacement = elastic_displacement(control[group].to(device, non_blocking=True), (height, width))
        grid = sampling_grid(coefficients[group].float().to(device, non_blocking=True), displacement, (height, width))
        image, label = warp(batch.select(batch.image, group), batch.select(batch.label, group), grid)
        batch.store(batch.image, group, image)
        batch.store(batch.label, group, label)


def _affine(batch: _Batch, config: AugmentConfig) -> Tensor:
    """``(B, 2, 3)`` output-to-input maps; the identity for slices that are not chosen."""
    affine = config.affine
    height, width = batch.image.shape[-2:]
    coefficients = torch.eye(2, 3, dtype=torch.float64).repeat(len(batch.image), 1, 1)
    rows = batch.chosen("affine", affine.p)
    shift = torch.stack(
        [
            batch.uniform("shift_rows", affine.shift_rows) * height,
            batch.uniform("shift_columns", affine.shift_columns) * width,
        ],
        dim=1,
    )
    coefficients[rows] = affine_coefficients(
        batch.uniform("degrees", affine.degrees),
        batch.log_uniform("scale", affine.scale),
        batch.uniform("shear", affine.shear),
        shift,
    )[rows]
    return coefficients


def _control(batch: _Batch, config: AugmentConfig) -> Tensor:
    """``(B, 2, K, K)`` displacements of control points in pixels; zero for slices that are not chosen."""
    elastic = config.elastic
    count, points = len(batch.image), elastic.control_points
    rows = batch.chosen("elastic", elastic.p)
    magnitude = torch.zeros(count)
    magnitude[rows] = batch.uniform("magnitude", elastic.magnitude)[rows] * min(batch.image.shape[-2:])
    control = torch.randn(count, 2, points, points, generator=batch.generator("elastic"))
    return control * magnitude[:, None, None, None]


def _recolour(batch: _Batch, config: AugmentConfig) -> None:
    """Tissue contrast and coil: intensity map, contrast, gamma, bias field."""
    _remap(batch, config.remap)
    batch.edit(
        batch.chosen("contrast", config.contrast.p),
        change_contrast,
        batch.log_uniform("contrast_factor", config.contrast.contrast),
        batch.uniform("brightness", config.contrast.brightness),
    )
    batch.edit(
        batch.chosen("gamma", config.gamma.p), change_gamma, batch.log_uniform("gamma_exponent", config.gamma.gamma)
    )
    coefficients = torch.randn(len(batch.image), 4, 4, generator=batch.generator("bias_field"))
    control = bias_control(coefficients, batch.uniform("coefficient", config.bias_field.coefficient))
    batch.edit(batch.chosen("bias_field", config.bias_field.p), apply_bias_field, control)


def _remap(batch: _Batch, config: RemapConfig) -> None:
    """Random intensity maps, drawn from a stream of their own: columns of the table would move all others."""
    if config.p == 0:
        return
    low, high = config.knots
    drawn = torch.rand(len(batch.image), 3 + high, generator=batch.generator("remap"))
    hit, monotone, knots = drawn[:, 0] < config.p, drawn[:, 1] < config.monotone, drawn[:, 2]
    count = (low + torch.floor(knots * (high + 1 - low))).clamp(max=high)
    for number in range(low, high + 1):  # maps with as many knots are one table
        rows = (hit & (count == number)).nonzero()[:, 0]
        batch.edit(rows, remap, intensity_map(drawn[:, 3 : 3 + number], monotone))


def _acquire(batch: _Batch, config: AugmentConfig) -> None:
    """What the scan does: low resolution, blur, ghosting, noise."""
    batch.edit(
        batch.chosen("low_resolution", config.low_resolution.p),
        lower_resolution,
        batch.uniform("zoom", config.low_resolution.zoom),
    )
    batch.edit(batch.chosen("blur", config.blur.p), blur, batch.uniform("sigma", config.blur.sigma))

    low, high = config.ghosting.ghosts
    ghosts = torch.floor(batch.uniform("ghosts", (low, high + 1))).clamp(max=high)
    intensity = batch.uniform("intensity", config.ghosting.intensity)
    rows = batch.chosen("ghosting", config.ghosting.p)
    vertical = batch.uniform("along_rows", (0, 1))[rows] < 0.5
    for chosen, axis in ((rows[vertical], -2), (rows[~vertical], -1)):
        batch.edit(chosen, lambda image, n, a, axis=axis: add_ghosts(image, n, a, axis), ghosts, intensity)

    noise = batch.generator("noise", batch.image.device)
    batch.edit(
        batch.chosen("noise", config.noise.p),
        lambda image, std: add_noise(image, std, noise),
        batch.uniform("std", config.noise.std),
    )
