"""Augmentation of a training batch, on the device it is on.

Whatever is random depends on the seed, the iteration and the row of the batch alone: a resumed run augments as the
uninterrupted one, several processes that share a batch augment as one, and nothing else in the program (loader workers,
dropout) can change it. Decisions and parameters are drawn on the CPU, so that they are the same on every device; only
noise is drawn on the batch's device.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import torch
from torch import Tensor

from spine_ignite.batches.augment.contrast import LABELS, change_tissues, intensity_map, remap
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
from spine_ignite.batches.augment.random_batch import RandomBatch, missing_contrasts
from spine_ignite.batches.augment.spatial import affine_coefficients, elastic_displacement, sampling_grid, warp
from spine_ignite.config.augment import AugmentConfig, RemapConfig, TissueConfig


class BatchAugmenter:
    """Augments batches as an :class:`AugmentConfig` says; holds no state besides it and a seed.

    The order is that of a scan: anatomy (flips, affine, elastic), contrast (tissue, remap, contrast, gamma), coil
    (bias field), acquisition (low resolution, blur, ghosting), receiver noise; last, contrasts are left out.

    Args:
        config: Probabilities and ranges.
        seed: Start of all randomness, any integer; the same in all processes of a run.
        tissues: Of each class, which tissue it is of (names or numbers): random contrasts give a tissue one brightness.
            By default each class is of its own.
        contrasts: Images of one exam that the channels hold, one after the other. They are deformed together; contrast,
            coil and acquisition are each one's own, and one that is missing (0 everywhere) stays so.
    """

    def __init__(
        self, config: AugmentConfig, seed: int, tissues: Sequence[Hashable] | None = None, contrasts: int = 1
    ) -> None:
        self.config = config
        self.seed = seed
        self.contrasts = contrasts
        self.tissues: list[Hashable] = list(range(LABELS) if tissues is None else tissues)

    def __call__(
        self,
        image: Tensor,
        label: Tensor,
        iteration: int,
        rows: Sequence[int] | None = None,
        of: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Augment a batch, or some rows of one; the tensors given are not changed.

        Args:
            image: ``(B, C, H, W)``, floating point, any memory format. The channels of a contrast get the same
                transforms.
            label: ``(B, H, W)``, integers up to 2**24 (uint8 in this program), on the image's device.
            iteration: Number of the training step. With the seed and the row it decides everything that is random.
            rows: Which rows of the batch these are, if not all.
            of: Rows of that batch.

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
            batch = RandomBatch(image, label, self.seed, iteration, rows, of)
            left_out = self._left_out(batch) if self.contrasts > 1 else None
            _deform(batch, self.config, self.contrasts)
            for number in range(self.contrasts):
                part = batch.of_contrast(number, self.contrasts)
                _change_tissues(part, self.config.tissue, self.tissues)
                _remap(part, self.config.remap)
                _recolour(part, self.config)
                _acquire(part, self.config)
                batch.put_back(part, number, self.contrasts)
            if left_out is not None:
                batch.image.masked_fill_(left_out, 0)
            return batch.image.to(image.dtype), batch.label

    def _left_out(self, batch: RandomBatch) -> Tensor:
        """Channels ``(B, C, 1, 1)`` of contrasts that are missing or left out by chance; one of those there stays."""
        missing = missing_contrasts(batch.image, self.contrasts)
        drawn = batch.draw(torch.rand, "drop_contrast", self.contrasts).to(missing.device, non_blocking=True)
        kept = drawn.masked_fill(missing, -1).argmax(dim=1, keepdim=True)
        dropped = (drawn < self.config.drop_contrast.p).scatter(1, kept, False)
        width = batch.image.shape[1] // self.contrasts
        return (missing | dropped).repeat_interleave(width, dim=1)[:, :, None, None]


def _deform(batch: RandomBatch, config: AugmentConfig, contrasts: int) -> None:
    """Flip, affine and elastic: flips are exact copies, the other two one resampling of the slices that need it."""
    for name, p, axis in (("flip", config.flip.p, -1), ("head_to_foot", config.flip.head_to_foot, -2)):
        for row in batch.chosen(name, p).tolist():
            batch.image[row] = batch.image[row].flip(axis)
            batch.label[row] = batch.label[row].flip(axis)
    if config.flip.neighbours > 0:  # drawn from a stream of its own: another column of the table would move all others
        reverse = batch.draw(torch.rand, "neighbours") < config.flip.neighbours
        for row in reverse.nonzero()[:, 0].tolist():
            batch.image[row] = batch.image[row].unflatten(0, (contrasts, -1)).flip(1).flatten(0, 1)

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
        selected = batch.select(batch.image, group), batch.select(batch.label, group)
        image, label = warp(*selected, grid, contrasts)
        batch.store(batch.image, group, image)
        batch.store(batch.label, group, label)


def _affine(batch: RandomBatch, config: AugmentConfig) -> Tensor:
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


def _control(batch: RandomBatch, config: AugmentConfig) -> Tensor:
    """``(B, 2, K, K)`` displacements of control points in pixels; zero for slices that are not chosen."""
    elastic = config.elastic
    count, points = len(batch.image), elastic.control_points
    rows = batch.chosen("elastic", elastic.p)
    magnitude = torch.zeros(count)
    magnitude[rows] = batch.uniform("magnitude", elastic.magnitude)[rows] * min(batch.image.shape[-2:])
    control = batch.draw(torch.randn, "elastic", 2, points, points)
    return control * magnitude[:, None, None, None]


def _change_tissues(batch: RandomBatch, config: TissueConfig, tissues: Sequence[Hashable]) -> None:
    """Random brightness of each tissue; drawn from a stream of its own, as all that came after the first table."""
    if config.p == 0:
        return
    generator, count = batch.generator("tissue"), len(batch.image)
    hit, knots = batch.own(torch.rand(2, batch.of, generator=generator), 1)
    means, texture, heights = batch.own(torch.rand(3, batch.of, LABELS, generator=generator), 1)
    spread = batch.own(torch.randn(batch.of, LABELS, generator=generator)) * config.spread
    number = {tissue: place for place, tissue in enumerate(dict.fromkeys(tissues))}
    of_class = torch.tensor([number[tissue] for tissue in tissues])
    means[:, : len(tissues)] = means[:, of_class]
    low, high = config.mean
    means = means * (high - low) + low + spread
    low, high = config.texture
    texture = texture * (high - low) + low
    for chosen, number_of_knots in _by_number(knots, config.knots, hit < config.p):
        rest = intensity_map(heights[:, :number_of_knots], torch.zeros(count, dtype=torch.bool))
        for group in batch.groups(chosen):
            image, label = batch.select(batch.image, group), batch.select(batch.label, group)
            change_tissues(image, label, means[group], texture[group], rest[group])
            batch.store(batch.image, group, image)


def _remap(batch: RandomBatch, config: RemapConfig) -> None:
    """Random maps of intensities, from a stream of their own."""
    if config.p == 0:
        return
    drawn = batch.draw(torch.rand, "remap", 3 + config.knots[1])
    hit, monotone = drawn[:, 0] < config.p, drawn[:, 1] < config.monotone
    for chosen, number in _by_number(drawn[:, 2], config.knots, hit):
        batch.edit(chosen, remap, intensity_map(drawn[:, 3 : 3 + number], monotone))


def _by_number(drawn: Tensor, limits: tuple[int, int], hit: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Turn uniform numbers into whole ones within limits; yield indices of the slices hit, by that number."""
    low, high = limits
    numbers = (low + torch.floor(drawn * (high + 1 - low))).clamp(max=high)
    for number in range(low, high + 1):
        yield (hit & (numbers == number)).nonzero()[:, 0], number


def _recolour(batch: RandomBatch, config: AugmentConfig) -> None:
    """Contrast of the whole and coil: contrast, gamma, bias field."""
    batch.edit(
        batch.chosen("contrast", config.contrast.p),
        change_contrast,
        batch.log_uniform("contrast_factor", config.contrast.contrast),
        batch.uniform("brightness", config.contrast.brightness),
    )
    batch.edit(
        batch.chosen("gamma", config.gamma.p), change_gamma, batch.log_uniform("gamma_exponent", config.gamma.gamma)
    )
    coefficients = batch.draw(torch.randn, "bias_field", 4, 4)
    control = bias_control(coefficients, batch.uniform("coefficient", config.bias_field.coefficient))
    batch.edit(batch.chosen("bias_field", config.bias_field.p), apply_bias_field, control)


def _acquire(batch: RandomBatch, config: AugmentConfig) -> None:
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

    for group in batch.groups(batch.chosen("noise", config.noise.p)):
        part = batch.select(batch.image, group)
        add_noise(part, batch.uniform("std", config.noise.std)[group], batch.normal("noise", group))
        if 1 < len(group) < len(batch.image):
            batch.store(batch.image, group, part)
