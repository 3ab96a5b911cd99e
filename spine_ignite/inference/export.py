"""Export the network of a run to a file for other programs, and prove that it is the same network."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import RunError, UsageError
from spine_ignite.files import write_atomically
from spine_ignite.inference.captured import forget_sources
from spine_ignite.inference.export_onnx import save_onnx
from spine_ignite.inference.levels.carried import take_along, told
from spine_ignite.inference.members import load_unchanged, window_of
from spine_ignite.inference.network_sources import TrainedRun, checkpoint_file
from spine_ignite.inference.postprocess.learned import steps_of_run
from spine_ignite.inference.same_logits import Compared, compare, noise
from spine_ignite.names import cut, printable
from spine_ignite.places import require_file_apart
from spine_ignite.registry import load_registry
from spine_ignite.runs import onnx_file
from spine_ignite.runs.checkpoints import TrainedNetwork, load_network
from spine_ignite.runs.directory import RunDirectory, open_run_directory
from spine_ignite.runs.exported import SUFFIX, Header, LeftOut, fingerprint, to_bytes, weights_in
from spine_ignite.runs.starting_point import images_seen
from spine_ignite.runs.weights import options_without_start

Format = Literal["safetensors", "torch-export", "onnx"]
SUFFIXES: dict[Format, str] = {"safetensors": SUFFIX, "torch-export": ".pt2", "onnx": onnx_file.SUFFIX}
HEADER_FILE = "spine_ignite.json"  # in a .pt2 file
HALF_TOLERANCE = 0.05  # of logits with weights in half precision, likewise; they have 11 significant bits
TOLERANCE = 1e-4  # of a program's logits, as a share of the largest; arithmetic may be in another order
_LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+ ()-]{0,99}")  # an SPDX expression


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written and verified.

    Attributes:
        path: the file.
        source: the checkpoint.
        model: the architecture.
        compared: what was compared, and by how much it differs.
        fixed: of an ONNX file whose height and width are fixed, why they cannot be open; else None.
        levels: whether the levels that it names are calibrated; None if those of its run are not either.
    """

    path: Path
    source: Path
    model: str
    compared: Compared
    fixed: str | None = None
    levels: str | None = None

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    @property
    def batch(self) -> tuple[int, ...]:
        """``(B, channels, H, W)`` of the batch that was compared, the first if there were several."""
        return self.compared.batches[0]

    @property
    def difference(self) -> float:
        """The largest of any logit from the original's; 0 for safetensors in single precision."""
        return self.compared.difference


def export_run(
    root: Path,
    out: Path | None = None,
    *,
    file_format: Format = "safetensors",
    checkpoint: str = "best",
    half: bool = False,
    license_id: str | None = None,
    calibration: bool = True,
) -> Exported:
    """Write the network of a run, with its judged weights, to one file; compare what the file holds with the original.

    Args:
        root: the run's directory.
        out: the file; default: beside the checkpoint, with the suffix of the format.
        file_format: ``safetensors``: weights. ``torch-export``: the program that ``torch.export`` captures, for any
            batch size, and the height and width of the run's training slices. ``onnx``: a graph for onnxruntime and
            others, for any batch size, and any height and width where the architecture allows that.
        checkpoint: ``best``, ``last`` or a file.
        half: store weights in half precision, half the size; they are read, and used, in single.
        license_id: under which the network may be used, as an SPDX identifier, for the file's header.
        calibration: take along that of the cross-validation which the run is a fold of, if the weights are bit for bit
            the calibrated ones.

    Raises:
        UsageError: the file's suffix is not that of the format, it would lie in the data, it is a program, which
            does not come in half precision, or the licence is none.
        RunError: the checkpoint cannot be used, the architecture cannot be exported, the file cannot be written (as
            while a training goes on in the run), or does not give the same logits; a former file stays then.
    """
    run = open_run_directory(root)
    source = checkpoint_file(run, checkpoint)
    beside = out is None
    out = source.with_suffix(SUFFIXES[file_format]) if out is None else out
    if out.suffix != SUFFIXES[file_format]:
        known = ", ".join(f"{suffix} for {name}" for name, suffix in SUFFIXES.items())
        raise UsageError(f"the suffix of {out} does not fit the format {file_format}: use {known}")
    if half and file_format != "safetensors":
        raise UsageError(f"half precision is for weights: the program in a {out.suffix} file computes in single")
    require_file_apart("--out", out, load_config(run.config).data.roots)
    left_out = why_left_out(calibration, half=half, program=file_format != "safetensors")
    trained, header = describe_network(run, source, license_id, left_out)
    fixed = None
    with run.lock("is exporting into it") if beside else nullcontext(), write_atomically(out) as temporary:
        if file_format == "safetensors":
            compared = save_weights(trained, header, temporary, out, half=half)
        elif file_format == "onnx":
            compared, fixed = save_onnx(trained, header, run, temporary, out)
        else:
            compared = _save_program(trained, header, temporary, out)
    return Exported(out, source, trained.description.model, compared, fixed, told(header))


def why_left_out(wanted: bool, *, half: bool = False, program: bool = False) -> LeftOut | None:
    """Return why a file shall not have a calibration; None: it shall, since nothing is computed otherwise."""
    if half or program:
        return "half" if half else "program"
    return None if wanted else "not wanted"


def describe_network(
    run: RunDirectory, source: Path, license_id: str | None, left_out: LeftOut | None = None
) -> tuple[TrainedNetwork, Header]:
    """Load the network of a checkpoint, and say of it all that a file of it should.

    Args:
        run: its run.
        source: the checkpoint.
        license_id: see :func:`export_run`.
        left_out: why the file shall not have the calibration of a cross-validation; None: it shall.

    Raises:
        UsageError: the licence is none.
        RunError: the checkpoint cannot be used.
    """
    if license_id is not None and not _LICENSE.fullmatch(license_id):
        raise UsageError(
            f"'{cut(printable(license_id), 60)}' is no licence: give its SPDX identifier, such as MIT or CC-BY-4.0"
        )
    config = load_config(run.config)
    loaded = load_unchanged(source)
    trained = loaded.trained
    description = replace(
        trained.description,
        images=images_seen(trained.description, run),
        options=options_without_start(trained.description),  # where a file lay is nobody's business
    )
    header = Header(
        plugin=str(description.plugin or load_registry().find(description.model).distribution),
        description=description.state_dict(),
        license=license_id,
        settings=_settings(config, steps_of_run(run)),
    )
    known = TrainedRun(run).calibration
    if known is not None:
        weights = fingerprint(weights_in(trained))
        header = take_along(header, known, loaded.network or loaded.weights, weights, left_out)
    return replace(trained, description=description), header


def save_weights(trained: TrainedNetwork, header: Header, path: Path, out: Path, *, half: bool = False) -> Compared:
    """Write weights to ``path``, which is to become ``out``, and compare what was read back.

    Raises:
        RunError: the network cannot be stored so, or does not come back.
    """
    path.write_bytes(to_bytes(trained, header, half=half))
    batch = noise(trained.description)
    difference = compare(trained.network, load_network(path).network, batch, HALF_TOLERANCE if half else 0.0, out)
    return Compared((tuple(batch.shape),), difference)


def _settings(config: RunConfig, steps: tuple[str, ...]) -> dict[str, Any]:
    """What of a run's configuration prediction asks for, and the clean-up that it learnt."""
    window = window_of(config.predict, config.data) or "whole"
    predict = config.predict.model_copy(update={"postprocess": steps, "window": window})
    augment = config.augment.model_dump(mode="json", include={"enabled", "flip", "affine"})  # of which views are made
    return {"predict": predict.model_dump(mode="json"), "augment": augment}


def _save_program(trained: TrainedNetwork, header: Header, path: Path, out: Path) -> Compared:
    batch = noise(trained.description)
    read_back = _capture(trained, batch, path, header)
    difference = max(compare(trained.network, read_back, part, TOLERANCE, out) for part in (batch, batch[:1]))
    return Compared((tuple(batch.shape),), difference)


def _capture(trained: TrainedNetwork, batch: Tensor, path: Path, header: Header) -> Callable[[Tensor], Tensor]:
    """Capture the network with an open batch size, write it, and return what was read back."""
    try:
        program = torch.export.export(
            trained.network, (batch,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
        )
    except Exception as error:  # an architecture may do anything
        reason = " ".join(str(error).split())[:300]
        raise RunError(
            f"torch.export cannot capture {trained.description.model} with an open batch size: {reason}; "
            "--format safetensors needs no capture"
        ) from error
    forget_sources(program)
    content = io.BytesIO()  # torch tells a full disk in words of its own
    torch.export.save(program, content, extra_files={HEADER_FILE: header.model_dump_json()})
    path.write_bytes(content.getbuffer())
    read_back: Callable[[Tensor], Tensor] = torch.export.load(path).module()
    return read_back
