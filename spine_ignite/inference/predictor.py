"""Volume in, label volume out, on the volume's own grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spine_ignite.data.batches import place_centred
from spine_ignite.data.geometry import SliceGrid
from spine_ignite.data.intensity import prepare_image
from spine_ignite.data.volumes import Volume, read_image, write_label_like
from spine_ignite.engines.checkpoints import TrainedNetwork, load_network
from spine_ignite.engines.precision import Precision, choose_device, choose_precision
from spine_ignite.errors import SpineIgniteError
from spine_ignite.inference.postprocess import clean


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Label values ``(I, J, K)`` of a volume, and what post-processing did to them."""

    values: NDArray[Any]
    note: str | None = None


def predict_volume(
    trained: TrainedNetwork,
    volume: Volume,
    *,
    device: torch.device,
    precision: Precision,
    batch_size: int = 8,
    postprocess: Sequence[str] = (),
) -> Segmentation:
    """Segment a volume.

    Slices are made as in training, padded to at least the training size, and the logits are resampled to the volume's
    own pixels before the class is chosen. Memory grows with the batch, not with the number of slices.

    Args:
        trained: the network and its description.
        volume: image ``(I, J, K)``.
        device: where the network is.
        precision: arithmetic of the forward pass.
        batch_size: slices in a batch.
        postprocess: steps of :func:`spine_ignite.inference.postprocess.clean`.

    Returns:
        The scheme's label values ``(I, J, K)``, in the smallest unsigned integer type that holds them.

    Raises:
        DataError: the volume's geometry cannot be used.
    """
    description = trained.description
    slices, grid = prepare_image(volume, description.spacing, description.clip_percentiles)
    native = np.empty((grid.num_slices, *grid.native_size), np.uint8)
    with torch.inference_mode():
        for start, batch in _batches(slices, description.context_slices, description.size, batch_size):
            image = batch.to(device).contiguous(memory_format=torch.channels_last)
            with precision.autocast():
                logits = trained.network(image)
            inner = _unpad(logits.float(), grid)
            native[start : start + len(batch)] = grid.resize_logits(inner).argmax(1).to(torch.uint8).cpu().numpy()
    indices = grid.to_volume(native)
    if not postprocess:
        return Segmentation(description.scheme.to_values(indices))
    cleaned = clean(indices, volume.affine, description.scheme, postprocess)
    return Segmentation(description.scheme.to_values(cleaned.indices), cleaned.message)


def _batches(
    slices: NDArray[np.float32], context: int, size: tuple[int, int], batch_size: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield (first slice, batch ``(B, 1 + 2 context, H, W)``), at least of ``size``, neighbours as channels."""
    count, height, width = slices.shape
    padded = (max(height, size[0]), max(width, size[1]))
    for start in range(0, count, batch_size):
        stop = min(start + batch_size, count)
        batch = torch.empty((stop - start, 2 * context + 1, *padded))
        for place, middle in enumerate(range(start, stop)):
            for channel, offset in enumerate(range(-context, context + 1)):
                source = slices[min(max(middle + offset, 0), count - 1)]
                place_centred(source, batch[place, channel].numpy(), fill=None)
        yield start, batch


def _unpad(logits: Tensor, grid: SliceGrid) -> Tensor:
    top, left = ((have - want) // 2 for have, want in zip(logits.shape[-2:], grid.size, strict=True))
    return logits[..., top : top + grid.size[0], left : left + grid.size[1]]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One input, where its labels are, why not if they are not, and what post-processing did."""

    source: Path
    output: Path
    error: str | None = None
    skipped: bool = False
    note: str | None = None


def predict(
    checkpoint: Path,
    jobs: Sequence[tuple[Path, Path]],
    *,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int = 8,
    skip_existing: bool = False,
    postprocess: Sequence[str] = (),
    progress: Callable[[Any], Any] | None = None,
) -> list[Prediction]:
    """Segment files; one that cannot be used is reported, and the others are still done.

    Args:
        checkpoint: ``best.pt`` or ``last.pt`` of a run.
        jobs: pairs of an image and the label volume to write.
        device: ``auto``, ``cpu``, ``cuda`` …
        precision: ``auto``, ``fp32``, ``bf16``, ``fp16``.
        batch_size: slices in a batch.
        skip_existing: leave outputs that are already there.
        postprocess: steps of :func:`spine_ignite.inference.postprocess.clean`.
        progress: wraps the jobs, to show how far it is.

    Raises:
        SpineIgniteError: the checkpoint or device cannot be used.
    """
    chosen = choose_device(device)
    arithmetic = choose_precision(precision, chosen)
    trained = load_network(checkpoint, chosen)
    trained.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    results = []
    for source, output in progress(jobs) if progress is not None else jobs:
        if skip_existing and output.is_file():
            results.append(Prediction(source, output, skipped=True))
            continue
        try:
            volume = read_image(source)
            found = predict_volume(
                trained,
                volume,
                device=chosen,
                precision=arithmetic,
                batch_size=batch_size,
                postprocess=postprocess,
            )
            write_label_like(output, found.values, volume)
            results.append(Prediction(source, output, note=found.note))
        except SpineIgniteError as error:
            results.append(Prediction(source, output, error=str(error)))
    return results
