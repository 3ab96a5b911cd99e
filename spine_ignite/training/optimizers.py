"""The optimizer of a configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer

from spine_ignite.config import OptimizerConfig
from spine_ignite.errors import RunError
from spine_ignite.registry import load_registry
from spine_ignite.training.parameter_groups import Groups, parameter_groups
from spine_ignite.training.parts import Parts

# Options of the core's own optimizers that have a key in the section.
_KEYS = {"sgd": ("momentum", "nesterov"), "adam": ("betas",), "adamw": ("betas",), "nadam": ("betas",)}


def create_optimizer(
    network: nn.Module, config: OptimizerConfig, criterion: nn.Module | None = None, parts: Parts | None = None
) -> Optimizer:
    """Build the optimizer of the groups that :func:`parameter_groups` makes.

    Raises:
        UsageError: there is no such optimizer or part of the network, or an option is unknown or cannot be.
        RunError: a plugin's optimizer fails, or is none.
    """
    registry = load_registry()
    chosen = registry.choose("optimizer", config.name, optimizer_options(config))
    optimizer = chosen(parameter_groups(network, config, criterion, parts), lr=config.lr)
    if not isinstance(optimizer, Optimizer):
        raise RunError(f"{chosen} must give a torch.optim.Optimizer, and gives a {type(optimizer).__name__}")
    return optimizer


def optimizer_options(config: OptimizerConfig) -> dict[str, Any]:
    """Return the options that a configured optimizer is built with; the core's own have keys in the section."""
    registry = load_registry()
    item = registry.component("optimizer", config.name)
    keys = _KEYS.get(item.value.name, ()) if item.distribution == registry.core else ()
    return {**{key: getattr(config, key) for key in keys}, **config.options}


def sgd(groups: Groups, *, lr: float, momentum: float = 0.9, nesterov: bool = True) -> Optimizer:
    """Stochastic gradient descent; Nesterov's needs a momentum."""
    return SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov and momentum > 0, fused=_fused(groups))


def adam(groups: Groups, *, lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> Optimizer:
    """Adam, whose weight decay is part of the gradient."""
    return Adam(groups, lr=lr, betas=betas, fused=_fused(groups))


def adamw(groups: Groups, *, lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> Optimizer:
    """Adam with weight decay apart from the gradient."""
    return AdamW(groups, lr=lr, betas=betas, fused=_fused(groups))


def nadam(groups: Groups, *, lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> Optimizer:
    """Adam with Nesterov's momentum; weight decay is part of the gradient."""
    return NAdam(groups, lr=lr, betas=betas)


def _fused(groups: Iterable[dict[str, Any]]) -> bool:
    """Whether one kernel can do the step of all parameters."""
    return all(
        p.device.type in ("cpu", "cuda") and p.dtype is torch.float32 for group in groups for p in group["params"]
    )
