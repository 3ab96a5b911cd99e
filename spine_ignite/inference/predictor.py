"""Volume in, label volume out, on the volume's own grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spine_ignite.batches.slice_dataset import place_centred
from spine_ignite.config.data import BorderRule
from spine_ignite.config.postprocess import LEVELS
from spine_ignite.errors import RunError
from spine_ignite.inference.levels.calibration import Calibration, basis_of
from spine_ignite.inference.levels.certificate import OF_UNKNOWN, RISK, Certifier
from spine_ignite.inference.levels.column import Column
from spine_ignite.inference.levels.exponents import naming_settings
from spine_ignite.inference.levels.traits import traits
from spine_ignite.inference.members import Member, load_members
from spine_ignite.inference.network_sources import find_sources
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.postprocess import Cleaned, clean
from spine_ignite.labels import LabelScheme
from spine_ignite.machine.precision import Precision, choose_device, choose_precision
from spine_ignite.machine.processes import ALONE, Processes
from spine_ignite.runs.description import Description
from spine_ignite.runs.onnx_file import SUFFIX as ONNX
from spine_ignite.slices.exam_slices import prepare
from spine_ignite.volumes.geometry import SliceGrid
from spine_ignite.volumes.maps import PlaneSpool
from spine_ignite.volumes.volume import STRICT, Reading, Volume

Slices = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What is found in a volume.

    Args:
        values: label values ``(I, J, K)``, in the smallest unsigned integer type that holds them.
        note: what post-processing did.
        uncertainty: normalised entropy ``(I, J, K)``: 0 where one class is certain, 1 where all are equally likely;
            None if it was not asked for.
        column: its levels, if the post-processing names them.
        traits: of the prediction and the image, by which an input unlike others is told; empty without a column.
    """

    values: NDArray[Any]
    note: str | None = None
    uncertainty: NDArray[np.float32] | None = None
    column: Column | None = None
    traits: Mapping[str, float] = field(default_factory=dict)


class Predictor:
    """One network or several that segment volumes together.

    The probabilities of the members are averaged on the volume's own pixels, so that they may differ in spacing, size,
    context slices, windows and architecture. Memory grows with the batch and the classes; of the whole volume there are
    only the image, its slices once for each spacing, and the labels.

    Args:
        members: networks with one set of classes, on ``device``.
        device: where they are.
        precision: arithmetic of the forward pass.
        batch_size: slices in a batch.
        postprocess: steps of :func:`spine_ignite.inference.postprocess.clean`.
        reading: how the volumes' files are to be read.
        risk: probability of a wrong column among those whose levels are accepted, at most.
        calibration: of the networks, by columns that they had not seen; None without one.
        uncalibrated: why there is none, in words.

    Raises:
        RunError: the members' classes differ.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        device: torch.device,
        precision: Precision,
        batch_size: int = 8,
        postprocess: Sequence[str] = (),
        reading: Reading = STRICT,
        risk: float = RISK,
        calibration: Calibration | None = None,
        uncalibrated: str = OF_UNKNOWN,
    ) -> None:
        self.members = list(members)
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.postprocess = tuple(postprocess)
        self.reading = reading
        self.risk = risk
        self.calibration = calibration
        self.uncalibrated = uncalibrated
        for member in self.members[1:]:
            _require_same_classes(self.members[0], member)

    @property
    def scheme(self) -> LabelScheme:
        """The label scheme of the members."""
        return self.members[0].trained.description.scheme

    @property
    def contrasts(self) -> tuple[str, ...]:
        """The images of an exam that any member sees; none: one image, whatever it is."""
        return tuple(dict.fromkeys(name for member in self.members for name in member.trained.description.contrasts))

    def segment(self, volume: Volume, *, uncertainty: bool = False, spool: PlaneSpool | None = None) -> Segmentation:
        """Segment a volume.

        Args:
            volume: image ``(I, J, K)``, with the further contrasts of its exam.
            uncertainty: return the entropy too.
            spool: takes the probabilities, slice by slice in the order of the grid's native slices.

        Raises:
            DataError: the volume's geometry cannot be used.
        """
        grid, batches = self.probabilities(volume)
        labels = np.empty((grid.num_slices, *grid.native_size), np.uint8)
        entropy = np.empty(labels.shape, np.float32) if uncertainty else None
        structures = Structures() if LEVELS in self.postprocess else None
        start = 0
        for batch in batches:
            stop = start + len(batch)
            labels[start:stop] = batch.max(1).indices.to(torch.uint8).cpu().numpy()  # argmax takes three times as long
            if structures is not None:
                structures.append(batch, labels[start:stop])
            if entropy is not None:
                entropy[start:stop] = normalised_entropy(batch).cpu().numpy()
            if spool is not None:
                spool.append(batch.cpu().numpy())
            start = stop
        before = grid.to_volume(labels)
        done, seen = Cleaned(before, ""), {}
        if self.postprocess:
            known = None if structures is None else structures.in_volume(grid, labels)
            done = clean(before, volume.affine, self.scheme, self.postprocess, known)
            seen = {} if done.column is None else traits(done.column, volume.array, before, known)
        shown = None if entropy is None else grid.to_volume(entropy)
        note = done.message if self.postprocess else None
        return Segmentation(self.scheme.to_values(done.indices), note, shown, done.column, seen)

    def probabilities(self, volume: Volume) -> tuple[SliceGrid, Iterator[Tensor]]:
        """Return the volume's grid, and its slices' probabilities batch by batch.

        Args:
            volume: image ``(I, J, K)``.

        Returns:
            The grid, which puts native slices back into the volume, and an iterator of ``(B, classes, H0, W0)``
            float32 on the predictor's device; each batch overwrites the one before.

        Raises:
            DataError: the volume's geometry cannot be used.
        """
        prepared: dict[tuple[Any, ...], tuple[Slices, SliceGrid]] = {}
        for member in self.members:
            key = _preparation(member)
            if key not in prepared:
                prepared[key] = prepare(volume, *key)
        grid = prepared[_preparation(self.members[0])][1]
        return grid, self._batches(grid, [(member, *prepared[_preparation(member)]) for member in self.members])

    @torch.inference_mode()
    def _batches(self, native: SliceGrid, work: Sequence[tuple[Member, Slices, SliceGrid]]) -> Iterator[Tensor]:
        size = (min(self.batch_size, native.num_slices), self.scheme.num_classes, *native.native_size)
        total = torch.empty(size, device=self.device)
        for start in range(0, native.num_slices, self.batch_size):
            batch = total[: native.num_slices - start].zero_()
            for member, slices, grid in work:
                image = slice_batch(slices, start, len(batch), member.trained.description).to(self.device)
                # Softmax over classes that lie side by side in memory (channels_last) takes three times as long.
                scores = _unpad(member.scores(image, self.precision), grid).contiguous()
                # Slice by slice, so that not a batch but a slice is in memory twice more on the volume's own pixels.
                rows, columns = grid.inside
                batch[:, 0] += _margin(grid).to(self.device)
                for place in range(len(batch)):
                    batch[place, :, rows, columns] += grid.resize_logits(scores[place : place + 1])[0].softmax(0)
            yield batch.div_(len(work))

    @cached_property
    def certifier(self) -> Certifier:
        """What says whether the levels of a column are accepted."""
        return Certifier(self.risk, self.calibration, basis_of(self.settings, self.scheme), self.uncalibrated)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Return what determines the label volumes, for the record."""
        members = [member.record() for member in self.members]
        return {
            "checkpoint": ", ".join(dict.fromkeys(record["checkpoint"] for record in members)),
            "postprocess": list(self.postprocess),
            "naming": naming_settings() if LEVELS in self.postprocess else None,
            "orientation": self.reading.orientation,
            "nan": self.reading.nan,
            "tta": any(len(member.views) > 1 for member in self.members),
            "members": members,
            "certificate": self._certificate(),
        }

    def _certificate(self) -> dict[str, Any] | None:
        """What the verdicts on columns depend on; None where none is accepted whatever the risk."""
        if LEVELS not in self.postprocess or self.calibration is None:
            return None
        return {"risk": self.risk, "calibration": self.calibration.fingerprint}

    def __str__(self) -> str:
        lines = []
        for member in self.members:
            description = member.trained.description
            views = f"{len(member.views)} view{'s' if len(member.views) > 1 else ''}"
            window = f", windows of {member.window[0]} x {member.window[1]}" if member.window is not None else ""
            lines.append(f"{description.model} from {member.trained.path}, {views} of each slice{window}")
        lines.append(f"on {self.device} in {self.precision.name} ({self.precision.reason})")
        return "\n".join(lines)


def load_predictor(run: Path, options: InferenceOptions, processes: Processes = ALONE) -> Predictor:
    """Load the networks of a run, a folder of runs, an exported file or a published name, and of those that join them.

    Args:
        run: as above.
        options: how to predict.
        processes: that predict together, each on a device of its own; all call this.

    Raises:
        SpineIgniteError: a run, a checkpoint or the device cannot be used, or the classes of two runs differ; or
            processes were given different networks.
    """
    device = choose_device(options.device, processes.local, processes.local_count)
    processes.claim(device)
    precision = choose_precision(options.precision, device)
    sources = [found for path in (run, *options.ensemble) for found in find_sources(path)]
    if all(source.root.suffix == ONNX for source in sources):
        precision = Precision(torch.float32, device.type, "onnxruntime's")
    predictor = Predictor(
        load_members(sources, options, device),
        device=device,
        precision=precision,
        batch_size=options.batch_size,
        postprocess=sources[0].steps if options.postprocess is None else options.postprocess,
        reading=Reading(options.orientation, options.nan),
        risk=sources[0].config.predict.risk if options.risk is None else options.risk,
        calibration=sources[0].calibration,
        uncalibrated=sources[0].uncalibrated,
    )
    if not processes.alone:
        processes.require_same(f"{predictor.settings} {predictor.precision.name}", "network")
    return predictor


class Structures:
    """Probabilities of all classes where one of them is likelier than background: a small part of a volume."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.float16]] = []

    def append(self, batch: Tensor, labels: NDArray[np.uint8]) -> None:
        """Keep those of slices ``(B, classes, H, W)`` whose class indices are ``labels (B, H, W)``."""
        inside = torch.from_numpy(labels > 0).to(batch.device)
        self._rows.append(batch.movedim(1, -1)[inside].half().cpu().numpy())

    def in_volume(self, grid: SliceGrid, labels: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Return them ``(M, classes)`` in the order that their voxels have in the volume."""
        rows = np.zeros(labels.shape, np.int32)
        rows[labels > 0] = np.arange(1, 1 + np.count_nonzero(labels))
        order = grid.to_volume(rows)
        known: NDArray[np.float16] = np.concatenate(self._rows)[order[order > 0] - 1]
        return known


def normalised_entropy(probabilities: Tensor) -> Tensor:
    """Return ``-sum(p log p) / log C`` of ``(B, C, H, W)``, as ``(B, H, W)`` from 0 to 1."""
    entropy: Tensor = torch.special.entr(probabilities).sum(1).div_(math.log(probabilities.shape[1]))
    return entropy.clamp_(0, 1)


def _preparation(member: Member) -> tuple[tuple[str, ...], tuple[float, float], tuple[float, float], BorderRule]:
    """What a volume's slices depend on; members that agree in it share them."""
    description = member.trained.description
    return description.contrasts, description.spacing, description.clip_percentiles, description.border


def slice_batch(slices: Slices, start: int, count: int, description: Description) -> Tensor:
    """Slices from ``start`` on as a batch ``(B, contrasts x (1 + 2 context), H, W)``, at least of the training size.

    Args:
        slices: ``(S, H, W)``, with contrasts ``(S, contrasts, H, W)``.
        start: the first.
        count: B.
        description: of the network.
    """
    context, planes = description.context_slices, slices.reshape(len(slices), -1, *slices.shape[-2:])
    size = [max(have, want) for have, want in zip(slices.shape[-2:], description.size, strict=True)]
    batch = torch.empty((count, planes.shape[1] * (2 * context + 1), *size))
    for place in range(count):
        for channel, (contrast, offset) in enumerate(product(range(planes.shape[1]), range(-context, context + 1))):
            source = planes[min(max(start + place + offset, 0), len(slices) - 1), contrast]
            place_centred(source, batch[place, channel].numpy(), fill=None)
    return batch


def _margin(grid: SliceGrid) -> Tensor:
    """The probability of background where a member was shown nothing: 1 outside the window ``(H0, W0)``."""
    margin = torch.ones(grid.native_size)
    margin[grid.inside] = 0
    return margin


def _unpad(scores: Tensor, grid: SliceGrid) -> Tensor:
    top, left = ((have - want) // 2 for have, want in zip(scores.shape[-2:], grid.size, strict=True))
    return scores[..., top : top + grid.size[0], left : left + grid.size[1]]


def _require_same_classes(first: Member, other: Member) -> None:
    one, two = (member.trained.description.scheme for member in (first, other))
    if [(c.value, c.name) for c in one.classes] != [(c.value, c.name) for c in two.classes]:
        raise RunError(
            f"{other.trained.path} has other classes (scheme '{two.name}', {two.num_classes}) than "
            f"{first.trained.path} (scheme '{one.name}', {one.num_classes}); the runs of an ensemble must have the same"
        )
