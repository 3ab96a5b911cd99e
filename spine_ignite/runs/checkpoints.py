"""Checkpoints: how they are read, and networks from them."""

from __future__ import annotations

import pickle  # nosec B403 # for its error alone: nothing is unpickled
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spine_ignite.errors import RunError
from spine_ignite.runs.description import Description
from spine_ignite.runs.weights import build_network


@dataclass(frozen=True)
class TrainedNetwork:
    """A network ready for prediction: in eval mode, on its device, with its description."""

    network: nn.Module
    description: Description
    path: Path


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint without running any code in it.

    Raises:
        RunError: it is missing, damaged, or not a checkpoint of this program.
    """
    try:
        _verify(path)
        checkpoint = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise RunError(f"checkpoint {path} does not exist; has the run reached its first checkpoint?") from None
    except pickle.UnpicklingError as error:
        raise RunError(
            f"checkpoint {path} is refused: it holds more than weights and plain data, or is corrupt"
        ) from error
    except Exception as error:  # damage can make zip and pickle readers raise anything
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"checkpoint {path} cannot be read, it may be truncated or corrupt: {reason}") from error
    if not isinstance(checkpoint, dict) or not {"model", "description"} <= checkpoint.keys():
        raise RunError(f"{path} is not a checkpoint of spine-ignite")
    return checkpoint


def read_newest(paths: Sequence[Path], echo: Callable[[str], None]) -> tuple[dict[str, Any], Path] | None:
    """Read the first of several checkpoints, newest first, that can be used; None if there are none.

    Args:
        paths: the checkpoints.
        echo: takes a line about each that cannot be used: it is damaged, or its weights are not numbers.

    Raises:
        RunError: there are some, and none can be used; the error is the first one's.
    """
    damaged: list[RunError] = []
    for path in filter(Path.is_file, paths):
        try:
            checkpoint = read_checkpoint(path)
            require_numbers(checkpoint["model"], path)
        except RunError as error:
            damaged.append(error)
            continue
        for reason in damaged:
            echo(f"Warning:   {reason}; going on from the one before, {path}")
        return checkpoint, path
    if damaged:
        raise damaged[0]
    return None


def require_numbers(weights: object, path: Path) -> None:
    """Refuse weights from which every step would end in an error; an infinity may be meant, as in a mask.

    Raises:
        RunError: there is a NaN.
    """
    tensors = weights.values() if isinstance(weights, Mapping) else ()
    if any(value.isnan().any() for value in tensors if isinstance(value, Tensor)):
        raise RunError(f"the weights in {path} are not finite")


def _verify(path: Path) -> None:
    """Refuse a file that torch would believe: it compares no checksums, unpacks without end, and reserves on request.

    What ``torch.save`` writes is a zip archive of uncompressed parts; older formats, which name the sizes of their
    tensors before they hold them, this program never wrote.
    """
    if not zipfile.is_zipfile(path):
        path.open("rb").close()  # a missing file is told as such
        raise zipfile.BadZipFile("it is not an archive of torch.save")
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if sum(part.file_size for part in parts) > path.stat().st_size:
            raise zipfile.BadZipFile("its parts are larger than the file")
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of its part {damaged} is wrong")


def load_network(path: Path, device: torch.device | str = "cpu") -> TrainedNetwork:
    """Build the network of a checkpoint and load its weights (the averaged ones, if the run averaged).

    Args:
        path: a checkpoint of a run, or a ``.safetensors`` or ``.onnx`` file of ``spine-ignite export``.
        device: where the network is wanted; one in an ONNX file computes on the CPU all the same.

    Raises:
        RunError: the checkpoint cannot be used, or its architecture is not installed.
    """
    if path.suffix == ".onnx":
        from spine_ignite.runs.onnx_file import load_onnx  # it needs the class above

        return load_onnx(path)
    weights, description = read_weights(path, device)
    network = build_network(description, weights, path)
    return TrainedNetwork(network.to(device).eval(), description, path)


def read_weights(path: Path, device: torch.device | str = "cpu") -> tuple[Any, Description]:
    """Read the judged weights in a file, and what they belong to; nothing is built.

    Args:
        path: as to :func:`load_network`, but for ONNX files, whose numbers have no names that an architecture knows.
        device: where the weights of a checkpoint are wanted.

    Returns:
        What should be a state dict (:func:`.weights.require_weights` looks), and the description.

    Raises:
        RunError: the file cannot be used.
    """
    if path.suffix == ".onnx":
        raise RunError(f"{path} is a program, which no training can start from; give a run or a .safetensors file")
    if path.suffix == ".safetensors":
        from spine_ignite.runs.exported import read_exported  # it needs the class above

        return read_exported(path)
    checkpoint = read_checkpoint(path, device)
    weights = checkpoint["model"] if checkpoint.get("ema") is None else checkpoint["ema"]
    return weights, Description.from_state(checkpoint["description"], path)
