"""Weights in a safetensors file, and what is needed to use them: numbers and text, nothing that could run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from spine_ignite.config.section import Section
from spine_ignite.datasets.split import Sha256
from spine_ignite.errors import RunError
from spine_ignite.runs.checkpoints import TrainedNetwork
from spine_ignite.runs.description import Description
from spine_ignite.validation_errors import describe
from spine_ignite.version import __version__

SUFFIX = ".safetensors"
KEY = "spine_ignite"  # of the file's metadata; one, since the order of several changes from file to file

LeftOut = Literal["weights", "half", "program", "not wanted"]


class Carried(Section):
    """Columns that the network had not seen, and what binds them to it: ``inference/levels/carried.py``."""

    network: Sha256 = Field(description="SHA-256 of the checkpoint whose weights, bit for bit, are those of the file")
    columns: dict[str, Any] = Field(description="the calibration, as in calibration.json")
    seal: Sha256 = Field(description="SHA-256 of these, the fingerprint of the weights and the description")


class Header(Section):
    """What an exported file says about its weights, as JSON.

    ``sha256`` is that of the weights, see :func:`fingerprint`; None where the file's format has checksums.
    """

    format: Literal[1] = Field(1, description="of this header")
    spine_ignite: str = Field(__version__, description="the version that wrote the file")
    plugin: str = Field(description="name and version of the distribution of the architecture")
    sha256: str | None = Field(None, description="of the weights")
    description: dict[str, Any] = Field(description="of the network, as in a checkpoint")
    license: Annotated[str, Field(max_length=100)] | None = Field(
        None, description="under which the network may be used, as an SPDX identifier; None: nothing is said"
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, description="how its run predicts: sections of a configuration; none: the defaults"
    )
    calibration: Carried | None = Field(None, description="of the cross-validation that its run is a fold of")
    uncalibrated: LeftOut | None = Field(None, description="why it has none, though that cross-validation does")


def to_bytes(trained: TrainedNetwork, header: Header, *, half: bool = False) -> bytes:
    """Return the content of a safetensors file with the weights of a network and its header.

    Args:
        trained: the network.
        header: what is said about it; the checksum is added here.
        half: store numbers in half precision; they are read as single.

    Raises:
        RunError: the network's state holds something else than tensors, or what half precision cannot hold.
    """
    weights = weights_in(trained)
    for name, value in weights.items():
        if half and value.is_floating_point():
            weights[name] = value.half()
            if weights[name].isinf().any() and not value.isinf().any():
                raise RunError(f"{trained.path} cannot be stored in half precision: '{name}' is too large for it")
    header = header.model_copy(update={"sha256": fingerprint(weights)})
    content: bytes = save(weights, metadata={KEY: header.model_dump_json()})
    return content


def weights_in(trained: TrainedNetwork) -> dict[str, Tensor]:
    """Return copies of a network's weights on the CPU, each with memory of its own in the usual layout.

    Raises:
        RunError: the network's state holds something else than tensors.
    """
    weights = {}
    for name, value in trained.network.state_dict().items():
        if not isinstance(value, Tensor):
            raise RunError(
                f"{trained.path} cannot be exported: '{name}' in the state of its "
                f"{trained.description.model} is not a tensor"
            )
        # The format takes neither two names of one tensor nor other memory layouts.
        weights[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    return weights


def read_exported(path: Path) -> tuple[dict[str, Tensor], Description]:
    """Read the weights and the description in a safetensors file that :func:`to_bytes` made; they are on the CPU.

    The library checks that the sizes in the file's header are those of the file; checksum and description are checked
    here. What is stored in half precision is returned in single.

    Raises:
        RunError: the file is missing, damaged, or comes from another program or version.
    """
    header, weights = _read(path, with_weights=True)
    if header.sha256 != fingerprint(weights):
        raise RunError(f"{path} is corrupt: the checksum of its weights is wrong; export it again")
    single = {name: value.float() if value.dtype is torch.float16 else value for name, value in weights.items()}
    return single, Description.from_state(header.description, path)


def read_header(path: Path) -> Header:
    """Read what a safetensors file says about its weights, and not these.

    Raises:
        RunError: the file is missing, damaged, or comes from another program or version.
    """
    return _read(path, with_weights=False)[0]


def _read(path: Path, *, with_weights: bool) -> tuple[Header, dict[str, Tensor]]:
    if not path.is_file():
        raise RunError(f"{path} does not exist, or is not a file")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            names = list(file.keys()) if text is not None and with_weights else []
            weights = {name: file.get_tensor(name) for name in names}
    except Exception as error:  # damage can make the reader raise anything
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"{path} cannot be read, it may be truncated or corrupt: {reason}") from error
    if text is None:
        raise RunError(
            f"{path} has weights, but was not written by `spine-ignite export`: what they belong to is unknown"
        )
    return parse_header(text, path), weights


def parse_header(text: str, path: Path) -> Header:
    """Read a header from its JSON; nothing in it is believed.

    Raises:
        RunError: it is none of this version.
    """
    try:
        return Header.model_validate_json(text)
    except ValidationError as error:
        reason = describe(error, Header)
        raise RunError(f"{path} is not an export of this version of spine-ignite (format 1): {reason}") from error


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the names, types, shapes and numbers of tensors on the CPU, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
