"""The weights in a file, and the network that is built for them: no more of it than the file can fill."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from spine_ignite.errors import RunError, SpineIgniteError
from spine_ignite.models import create_model
from spine_ignite.names import cut
from spine_ignite.registry.origins import origin_key, remembering
from spine_ignite.runs.description import Description

_MOST_COMPUTED = 2**30  # bytes of buffers that are not weights, such as grids of coordinates
_FILLING = ("uniform_", "normal_", "fill_", "zero_", "erfinv_", "mul_", "div_", "add_", "sub_", "clamp_", "copy_")


def build_network(description: Description, weights: Any, path: Path) -> nn.Module:
    """Build the network of a description and load its weights.

    It is built without memory first (on torch's meta device) and held against the weights, so that a description
    cannot ask for more than its file holds.

    Args:
        description: which network.
        weights: its state dict, from a file that anyone may have written; on the CPU or another device.
        path: the file, for messages.

    Returns:
        The network, on the CPU.

    Raises:
        RunError: the network cannot be built, or is not that of the weights.
    """
    require_weights(weights, path)
    sketch = _sketch(description, path)
    if sketch is not None:
        load_weights(sketch, weights, path, assign=True)
        computed = sum(b.numel() * b.element_size() for b in sketch.buffers() if b.is_meta)
        if computed > _MOST_COMPUTED:
            size = f"{computed / 2**30:.0f} GiB"
            raise RunError(f"the network of {path} cannot be built: it would compute {size} besides its weights")
        del sketch
    network = _build(description, path)
    load_weights(network, weights, path)
    return network


def options_without_start(description: Description) -> dict[str, Any]:
    """The architecture's options without where training started from: the weights come from the checkpoint."""
    start = {"pretrained": False, "weights": None}
    return {name: start.get(name, value) for name, value in description.options.items()}


def load_weights(network: nn.Module, weights: Any, path: Path, *, assign: bool = False) -> None:
    """Load a state dict; with ``assign`` the network's tensors become those of the dict.

    Raises:
        RunError: it is none, or names or shapes differ, as they do for another version of the architecture.
    """
    require_weights(weights, path)
    if assign:  # torch notes it in the dict's metadata, and the next network would be assigned to as well
        metadata = copy.deepcopy(getattr(weights, "_metadata", None))
        weights = OrderedDict(weights)
        if metadata is not None:
            weights._metadata = metadata
    try:
        network.load_state_dict(weights, assign=assign)
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
        reason = cut(" ".join(str(error).split()), 300)
        raise RunError(f"the weights in {path} do not fit the network: {reason}") from error


def require_weights(weights: Any, path: Path) -> None:
    """Refuse what is no state dict, and tensors that are larger than the numbers that the file has for them.

    Raises:
        RunError: it is.
    """
    if not isinstance(weights, Mapping) or not weights or not all(isinstance(name, str) for name in weights):
        raise RunError(f"{path} holds no weights: what it has in their place is not a dictionary of tensors")
    for name, value in weights.items():
        if not isinstance(value, Tensor):
            continue  # a module's extra state, which it checks itself
        plain = value.layout is torch.strided and not value.is_quantized and not value.is_meta
        if not plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise RunError(f"{path} is refused: its weights '{cut(name, 60)}' are larger than what the file holds")


def build_unfilled(
    description: Description, path: Path, *, in_channels: int | None = None, num_classes: int | None = None
) -> nn.Module:
    """Build a network for the shapes of its weights alone, without memory where its plugin allows that.

    Args:
        description: which network.
        path: whose it is, for messages.
        in_channels: in place of the description's.
        num_classes: in place of the description's.

    Raises:
        RunError: it cannot be built.
    """
    sizes = (in_channels or description.in_channels, num_classes or description.scheme.num_classes)
    sketch = _sketch(description, path, sizes)
    return _build(description, path, sizes) if sketch is None else sketch


def _sketch(description: Description, path: Path, sizes: tuple[int, int] | None = None) -> nn.Module | None:
    """The network without memory; None for one of a plugin that computes with numbers while it is built."""
    try:
        with torch.device("meta"), _Unfilled():
            return _build(description, path, sizes)
    except RunError as error:
        if isinstance(error.__cause__, (NotImplementedError, RuntimeError)):
            return None
        raise


class _Unfilled(TorchFunctionMode):
    """Leaves out filling tensors without memory, for which torch would first import its compiler (a second)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what was asked, but for filling."""
        filled = args[0] if args else None
        if getattr(func, "__name__", "") in _FILLING and isinstance(filled, Tensor) and filled.is_meta:
            return filled
        return func(*args, **(kwargs or {}))


def _build(description: Description, path: Path, sizes: tuple[int, int] | None = None) -> nn.Module:
    model, plugin = description.model, description.plugin
    in_channels, num_classes = sizes or (description.in_channels, description.scheme.num_classes)
    try:
        with remembering({} if plugin is None else {origin_key("model", model): plugin}):
            return create_model(model, in_channels, num_classes, **options_without_start(description))
    except SpineIgniteError as error:
        raise RunError(f"the network of {path} cannot be built: {error}") from error
    except Exception as error:  # an option's name may be that of another argument, and plugins may raise anything
        reason = cut(" ".join(f"{type(error).__name__}: {error}".split()), 300)
        raise RunError(f"the network of {path} cannot be built: {reason}") from error
