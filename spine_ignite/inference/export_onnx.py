"""Write a network as an ONNX file that says what it is, and hold it against the original in onnxruntime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spine_ignite.errors import RunError
from spine_ignite.inference.captured import forget_sources
from spine_ignite.inference.open_sizes import OpenPooling
from spine_ignite.inference.same_logits import (
    Compared,
    RoundingError,
    compare,
    noise,
    of_another_size,
    slices_of_run,
)
from spine_ignite.names import cut
from spine_ignite.runs.checkpoints import TrainedNetwork
from spine_ignite.runs.description import Description
from spine_ignite.runs.directory import RunDirectory
from spine_ignite.runs.exported import KEY, Header
from spine_ignite.runs.onnx_file import OnnxNetwork, require
from spine_ignite.version import __version__

TOLERANCE = 1e-3  # of logits, as a share of the largest: onnxruntime adds up in an order of its own
_NAMES = ("image", "logits")
_AXES = ("batch", None, "height", "width")
_OPEN = (0, 2, 3)  # axes of a batch
SMALLEST = 64  # rows and columns that every architecture takes


def save_onnx(
    trained: TrainedNetwork, header: Header, run: RunDirectory, path: Path, out: Path
) -> tuple[Compared, str | None]:
    """Write an ONNX file to ``path``, which is to become ``out``, and compare it in onnxruntime.

    Batch size, height and width are open. Where the architecture cannot have that, height and width are those of the
    run's training slices, and the header's settings ask for windows of that size.

    Returns:
        What was compared, and why height and width are fixed; None if they are not.

    Raises:
        RunError: a package is missing, the architecture cannot be captured, or the logits differ by more than
            :data:`TOLERANCE` of the largest.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package, out)
    own = slices_of_run(run, trained.description)
    batch = noise(trained.description) if own is None else own
    try:
        return replace(_save(trained, header, batch, path, out, _OPEN), real=own is not None), None
    except RoundingError:
        raise  # at fixed sizes no less, whether it shows there or not
    except RunError as error:
        reason = str(error).removeprefix(f"{out} is not written: ")
    height, width = trained.description.size
    predict = {**header.settings.get("predict", {}), "window": [height, width]}
    header = header.model_copy(update={"settings": {**header.settings, "predict": predict}})
    fitting = noise(trained.description) if batch.shape[-2:] != (height, width) else batch
    compared = _save(trained, header, fitting, path, out, (0,))
    return replace(compared, real=own is not None and fitting is batch), reason


def _save(
    trained: TrainedNetwork, header: Header, batch: Tensor, path: Path, out: Path, axes: tuple[int, ...]
) -> Compared:
    """Capture with these axes open, write, and compare: at two sizes if these are open, and for a single slice."""
    other = of_another_size(batch) if 2 in axes else batch[:1]
    # At sizes that are multiples of nothing all padding is done, and captured; a batch of one would stay one.
    path.write_bytes(_capture(trained, header, torch.cat([other, other]), axes, out))
    read_back = OnnxNetwork(path)
    batches = (batch, other)
    difference = max(compare(trained.network, read_back, part, TOLERANCE, out) for part in batches)
    with torch.inference_mode():
        largest = float(trained.network(batch).abs().max())
    return Compared(tuple(tuple(part.shape) for part in batches), difference, largest=largest)


def _capture(trained: TrainedNetwork, header: Header, batch: Tensor, axes: tuple[int, ...], out: Path) -> bytes:
    """Return the content of an ONNX file."""
    try:
        with _quiet(), torch.no_grad():
            model = to_onnx(trained.network, batch, axes)
    except Exception as error:  # an architecture may do anything
        reason = cut(" ".join(f"{type(error).__name__}: {error}".split()), 300)
        what = "batch, height and width" if len(axes) > 1 else "batch"
        raise RunError(
            f"{out} is not written: {trained.description.model} cannot be captured with an open {what}: {reason}; "
            "--format safetensors needs no capture"
        ) from error
    model.producer_name, model.producer_version = "spine-ignite", __version__
    model.doc_string = _explain(trained.description, fixed=len(axes) == 1)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, header.model_dump_json()
    content: bytes = model.SerializeToString()
    return content


def to_onnx(network: nn.Module, batch: Tensor, axes: tuple[int, ...] = _OPEN) -> Any:
    """Capture a network in evaluation mode.

    Args:
        network: maps ``(B, C, H, W)`` to logits ``(B, K, H, W)``.
        batch: an example, with more than one slice.
        axes: of the batch, whose sizes are open.

    Returns:
        An ``onnx.ModelProto`` with the input ``image`` and the output ``logits``.

    Raises:
        Exception: whatever torch's exporter finds that it cannot do.
    """
    # What the least sizes are is told, since below them some operations would go other ways.
    open_ = {axis: torch.export.Dim.DYNAMIC(min=1 if axis == 0 else SMALLEST) for axis in axes}
    with OpenPooling():
        program = torch.export.export(
            network,
            (batch,),
            dynamic_shapes=(open_,),
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )
    forget_sources(program)
    made = torch.onnx.export(program, dynamo=True, input_names=_NAMES[:1], output_names=_NAMES[1:], verbose=False)
    assert made is not None
    model = made.model_proto
    for value in (*model.graph.input, *model.graph.output):  # torch calls what is open s42, u0 …
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            name = _AXES[axis]
            if name is not None and (axis in axes or not size.HasField("dim_value")):
                size.dim_param = name
    return model


def _explain(description: Description, *, fixed: bool) -> str:
    size = "x".join(map(str, description.size))
    low, high = description.clip_percentiles
    contrasts = f", of the contrasts {', '.join(description.contrasts)} in turn (0 where one is missing)"
    names = description.scheme.names
    each = "each contrast's intensities" if description.contrasts else "the volume's intensities"
    return (
        f"Segmentation of sagittal slices of spine MRI by {description.model}. image: float32 (batch, "
        f"{description.in_channels}, height, width), {f'height x width {size}' if fixed else 'from 64 x 64 up'}, rows "
        f"from superior to inferior, columns from anterior to posterior, {description.spacing[0]:g} x "
        f"{description.spacing[1]:g} mm, channels are a slice and its {description.context_slices} neighbours on each "
        f"side{contrasts if description.contrasts else ''}; {each} clipped to its percentiles {low:g} "
        f"and {high:g}, then shifted and scaled to mean 0 and standard deviation 1. logits: (batch, {len(names)}, "
        f"height, width), classes in the order {', '.join(names)}. More in the metadata entry {KEY}, as JSON."
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's and onnxscript's advice to developers of exporters from whoever exports a network."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
