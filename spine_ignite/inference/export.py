"""Export the network of a run to a file for other programs, and prove that it is the same network."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import RunError, UsageError
from spine_ignite.files import write_atomically
from spine_ignite.inference.members import window_of
from spine_ignite.inference.network_sources import checkpoint_file
from spine_ignite.inference.postprocess.learned import steps_of_run
from spine_ignite.places import require_file_apart
from spine_ignite.registry import load_registry
from spine_ignite.runs.checkpoints import TrainedNetwork, load_network
from spine_ignite.runs.directory import open_run_directory
from spine_ignite.runs.exported import SUFFIX, Header, to_bytes
from spine_ignite.runs.starting_point import images_seen

Format = Literal["safetensors", "torch-export"]
SUFFIXES: dict[Format, str] = {"safetensors": SUFFIX, "torch-export": ".pt2"}
HEADER_FILE = "spine_ignite.json"  # in a .pt2 file
HALF_TOLERANCE = 0.05  # of logits with weights in half precision, likewise; they have 11 significant bits
TOLERANCE = 1e-4  # of a program's logits, as a share of the largest; arithmetic may be in another order


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written and verified.

    Attributes:
        path: the file.
        source: the checkpoint.
        model: the architecture.
        batch: ``(B, channels, H, W)`` of the random batch that was compared.
        difference: the largest of any logit from the original's; 0 for safetensors in single precision.
    """

    path: Path
    source: Path
    model: str
    batch: tuple[int, ...]
    difference: float

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size


def export_run(
    root: Path,
    out: Path | None = None,
    *,
    file_format: Format = "safetensors",
    checkpoint: str = "best",
    half: bool = False,
) -> Exported:
    """Write the network of a run, with its judged weights, to one file; compare what the file holds with the original.

    Args:
        root: the run's directory.
        out: the file; default: beside the checkpoint, with the suffix of the format.
        file_format: ``safetensors``: weights. ``torch-export``: the program that ``torch.export`` captures, for any
            batch size, and the height and width of the run's training slices.
        checkpoint: ``best``, ``last`` or a file.
        half: store weights in half precision, half the size; they are read, and used, in single.

    Raises:
        UsageError: the file's suffix is not that of the format, it would lie in the data, or it is a program, which
            does not come in half precision.
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
    config = load_config(run.config)
    require_file_apart("--out", out, config.data.roots)
    trained = load_network(source)
    description = replace(trained.description, images=images_seen(trained.description, run))
    trained = replace(trained, description=description)
    plugin = str(description.plugin or load_registry().find(description.model).distribution)
    shape = (description.in_channels, *description.size)
    batch = torch.randn((3, *shape), generator=torch.Generator().manual_seed(0))
    with run.lock("is exporting into it") if beside else nullcontext(), write_atomically(out) as temporary:
        if file_format == "safetensors":
            temporary.write_bytes(to_bytes(trained, plugin, _settings(config, steps_of_run(run)), half=half))
            tolerance = HALF_TOLERANCE if half else 0.0
            difference = _compare(trained.network, load_network(temporary).network, batch, tolerance, out)
        else:
            header = Header(plugin=plugin, description=description.state_dict())
            read_back = _save_program(trained, batch, temporary, header)
            difference = _compare(trained.network, read_back, batch, TOLERANCE, out)
            difference = max(difference, _compare(trained.network, read_back, batch[:1], TOLERANCE, out))
    return Exported(out, source, description.model, tuple(batch.shape), difference)


def _settings(config: RunConfig, steps: tuple[str, ...]) -> dict[str, Any]:
    """What of a run's configuration prediction asks for, and the clean-up that it learnt."""
    window = window_of(config.predict, config.data) or "whole"
    predict = config.predict.model_copy(update={"postprocess": steps, "window": window})
    augment = config.augment.model_dump(mode="json", include={"enabled", "flip", "affine"})  # of which views are made
    return {"predict": predict.model_dump(mode="json"), "augment": augment}


def _save_program(trained: TrainedNetwork, batch: Tensor, path: Path, header: Header) -> Callable[[Tensor], Tensor]:
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
    content = io.BytesIO()  # torch tells a full disk in words of its own
    torch.export.save(program, content, extra_files={HEADER_FILE: header.model_dump_json()})
    path.write_bytes(content.getbuffer())
    read_back: Callable[[Tensor], Tensor] = torch.export.load(path).module()
    return read_back


@torch.inference_mode()
def _compare(
    network: nn.Module, other: Callable[[Tensor], Tensor], batch: Tensor, tolerance: float, out: Path
) -> float:
    """Return the largest difference of logits; refuse one above ``tolerance`` times the largest logit."""
    expected, found = network(batch), other(batch)
    if not expected.isfinite().all():
        raise RunError(f"{out} is not written: the logits of the checkpoint's network are not finite")
    difference = float((found - expected).abs().max())
    if not difference <= tolerance * float(expected.abs().max()):
        raise RunError(f"{out} is not written: what it would hold gives other logits, by up to {difference:g}")
    return difference
