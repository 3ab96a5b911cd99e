"""Networks in ONNX files, which onnxruntime runs, and what the files say about them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spine_ignite.errors import RunError
from spine_ignite.names import cut
from spine_ignite.runs.checkpoints import TrainedNetwork
from spine_ignite.runs.description import Description
from spine_ignite.runs.exported import KEY, Header, parse_header

SUFFIX = ".onnx"
INSTALL = "pip install 'spine-ignite[onnx]'"


def require(package: str, path: Path) -> Any:
    """Import a package that ONNX needs.

    Raises:
        RunError: it is not installed; the message says how it is.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise RunError(f"{path} needs {package}, which is not installed ({error}): {INSTALL}") from error


class OnnxNetwork(nn.Module):
    """A network whose operations are in an ONNX file; it computes on the CPU, in float32.

    Args:
        path: the file.

    Raises:
        RunError: onnxruntime is not installed, or cannot read the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        if not path.is_file():
            raise RunError(f"{path} does not exist, or is not a file")
        runtime = require("onnxruntime", path)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # what is wrong is told below
        try:
            self.session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common class
            reason = cut(" ".join(str(error).split()), 200)
            raise RunError(f"{path} cannot be read by onnxruntime, it may be truncated or corrupt: {reason}") from error

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself."""
        found: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
        return found

    @property
    def shapes(self) -> list[tuple[Any, ...]]:
        """Shapes of all inputs, then of all outputs; what is open is a name or None."""
        return [tuple(part.shape) for part in (*self.session.get_inputs(), *self.session.get_outputs())]

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``, on the device of ``x``.

        Raises:
            RunError: onnxruntime cannot, as for a size that the file does not allow.
        """
        given = np.ascontiguousarray(x.detach().cpu().float().numpy())
        try:
            (logits,) = self.session.run(None, {self.session.get_inputs()[0].name: given})
        except Exception as error:  # as above
            reason = cut(" ".join(str(error).split()), 200)
            raise RunError(f"onnxruntime cannot run {self.path} on a batch of {given.shape}: {reason}") from error
        return torch.from_numpy(logits).to(x.device)


def load_onnx(path: Path) -> TrainedNetwork:
    """Open the network in a file of ``spine-ignite export --format onnx``.

    Raises:
        RunError: the file is missing, damaged, of another program or version, or its network is not what it says.
    """
    network, header = _open(path)
    description = Description.from_state(header.description, path)
    wanted = description.in_channels, description.scheme.num_classes
    shapes = network.shapes
    if len(shapes) != 2 or any(len(shape) != 4 for shape in shapes) or tuple(shape[1] for shape in shapes) != wanted:
        raise RunError(
            f"{path} is not the network that it says it is: it maps {_listed(shapes)}, not slices of {wanted[0]} "
            f"channels to logits of {wanted[1]} classes; export it again"
        )
    return TrainedNetwork(network.eval(), description, path)


def read_onnx_header(path: Path) -> Header:
    """Read what an ONNX file says about its network.

    Raises:
        RunError: the file is missing, damaged, or comes from another program or version.
    """
    return _open(path)[1]


def _open(path: Path) -> tuple[OnnxNetwork, Header]:
    network = OnnxNetwork(path)
    text = network.metadata.get(KEY)
    if text is None:
        raise RunError(
            f"{path} has a network, but was not written by `spine-ignite export`: what it takes and gives is unknown"
        )
    return network, parse_header(text, path)


def _listed(shapes: list[tuple[Any, ...]]) -> str:
    return " and ".join(" x ".join("?" if size is None else str(size) for size in shape) for shape in shapes)
