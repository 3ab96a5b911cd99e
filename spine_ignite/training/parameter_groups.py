"""Which parameters are trained at which rate, and which of them decay."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer

from spine_ignite.config import OptimizerConfig
from spine_ignite.nn.padding import PaddedNetwork
from spine_ignite.training.parts import Parts

Groups = list[dict[str, Any]]


def parameter_groups(
    network: nn.Module, config: OptimizerConfig, criterion: nn.Module | None = None, parts: Parts | None = None
) -> Groups:
    """Put every parameter that is trained into one group, with those that have its rate and its decay.

    A group has, besides what PyTorch's have (``params``, ``lr``, ``weight_decay``), its ``factor``: what its rate is
    of that of the configuration. Groups whose factor is 1 come first. Parameters that need no gradient are left out.
    Those of a loss (``criterion``) have the configuration's rate and no decay. Without ``parts`` the network's are
    told by the names of its parameters alone.

    Raises:
        UsageError: the configuration names a part that the network does not have.
    """
    if isinstance(network, PaddedNetwork):
        network = network.network  # names are those of the architecture
    named = dict(network.named_parameters())
    parts = Parts.by_names(named) if parts is None else parts
    factors = parts.factors(config.lr_factors, "optimizer.lr_factors")
    decays = parts.factors(config.decay_factors, "optimizer.decay_factors")
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named.items():
        if not parameter.requires_grad:
            continue
        factor = factors.get(name, 1.0)
        decay = config.weight_decay * decays.get(name, 1.0)
        if parameter.ndim <= 1:
            factor *= config.bias_factor if name.rpartition(".")[2] == "bias" else 1.0
            decay *= config.decay_vectors
        found.setdefault((factor, decay), []).append(parameter)
    groups: Groups = [
        {"params": parameters, "lr": config.lr * factor, "weight_decay": decay, "factor": factor}
        for (factor, decay), parameters in sorted(found.items(), key=lambda item: item[0][0] != 1.0)
    ]
    of_loss = [p for p in criterion.parameters() if p.requires_grad] if criterion is not None else []
    if of_loss:
        groups.append({"params": of_loss, "lr": config.lr, "weight_decay": 0.0, "factor": 1.0})
    return groups


def base_rate(optimizer: Optimizer) -> float:
    """Return the rate of a part with the factor 1: what ``optimizer.lr`` has become."""
    group = optimizer.param_groups[0]
    return float(group["lr"]) / float(group.get("factor", 1.0))
