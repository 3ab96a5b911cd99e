"""List and build architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spine_ignite.errors import RunError, UsageError
from spine_ignite.registry import import_target, load_registry
from spine_ignite.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn


def list_models() -> list[ModelSpec]:
    """Return the specs of all installed architectures."""
    return [item.value for item in load_registry().models()]


def create_model(name: str, in_channels: int, num_classes: int, **options: Any) -> nn.Module:
    """Build an architecture.

    Args:
        name: a name or alias from ``list-models``; ``dist:name`` chooses between distributions.
        in_channels: input channels.
        num_classes: classes, background included.
        options: the architecture's own options.

    Returns:
        A network that maps ``(B, in_channels, H, W)`` to logits ``(B, num_classes, H, W)``, for H and W from 64 up.

    Raises:
        UsageError: the name or an option is unknown, or a value is out of range.
        RunError: the plugin's network cannot be imported or built.
    """
    registry = load_registry()
    item = registry.find(name)
    validated = registry.resolve_options(name, options)
    if in_channels < 1 or num_classes < 2:
        raise UsageError(f"a network needs at least 1 input channel and 2 classes, got {in_channels} and {num_classes}")
    spec = item.value
    build = import_target(spec.target, f"model '{spec.name}'", item.distribution)
    try:
        network: nn.Module = build(in_channels=in_channels, num_classes=num_classes, **validated.model_dump())
    except TypeError as error:
        raise RunError(
            f"model '{spec.name}' of {item.distribution} does not accept its own options: {error}; report it there"
        ) from error
    if spec.size_multiple > 1:
        from spine_ignite.nn.padding import PaddedNetwork

        network = PaddedNetwork(network, spec.size_multiple, spec.aux_align_corners)
    return network
