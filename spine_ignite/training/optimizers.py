"""The optimizer of a configuration."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from spine_ignite.config import OptimizerConfig


def create_optimizer(network: nn.Module, config: OptimizerConfig, criterion: nn.Module | None = None) -> Optimizer:
    """Build the optimizer; weight decay spares biases, normalisation and every other vector or scalar.

    Parameters that need no gradient are left out. Those of a loss (``criterion``) are trained too, without decay.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    of_loss = [p for p in criterion.parameters() if p.requires_grad] if criterion is not None else []
    groups.append({"params": of_loss, "weight_decay": 0.0})
    groups = [group for group in groups if group["params"]]
    fused = all(p.device.type in ("cpu", "cuda") and p.dtype is torch.float32 for p in (*trained, *of_loss))
    if config.name == "sgd":
        nesterov = config.nesterov and config.momentum > 0
        return SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=nesterov, fused=fused)
    kind = Adam if config.name == "adam" else AdamW
    return kind(groups, lr=config.lr, betas=config.betas, fused=fused)
