"""Which parameters are trained at which rate, and which of them decay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from spine_ignite.config import OptimizerConfig
from spine_ignite.errors import UsageError, suggest
from spine_ignite.nn.padding import PaddedNetwork

Groups = list[dict[str, Any]]


def parameter_groups(network: nn.Module, config: OptimizerConfig, criterion: nn.Module | None = None) -> Groups:
    """Put every parameter that is trained into one group, with those that have its rate and its decay.

    A group has, besides what PyTorch's have (``params``, ``lr``, ``weight_decay``), its ``factor``: what its rate is
    of that of the configuration. Groups whose factor is 1 come first. Parameters that need no gradient are left out.
    Those of a loss (``criterion``) have the configuration's rate and no decay.

    Raises:
        UsageError: the configuration names a part that the network does not have.
    """
    if isinstance(network, PaddedNetwork):
        network = network.network  # names are those of the architecture
    named = dict(network.named_parameters())
    for key, factors in (("lr_factors", config.lr_factors), ("decay_factors", config.decay_factors)):
        _require_parts(f"optimizer.{key}", factors, named)
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named.items():
        if not parameter.requires_grad:
            continue
        factor = _of_part(name, config.lr_factors)
        decay = config.weight_decay * _of_part(name, config.decay_factors)
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


def _of_part(name: str, factors: Mapping[str, float]) -> float:
    """Return the factor of the longest beginning of a parameter's name."""
    return factors[max(parts, key=len)] if (parts := [part for part in factors if _lies_in(name, part)]) else 1.0


def _lies_in(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def _require_parts(key: str, factors: Iterable[str], names: Iterable[str]) -> None:
    names = list(names)
    for part in factors:
        if not any(_lies_in(name, part) for name in names):
            parts = sorted({name.partition(".")[0] for name in names})
            raise UsageError(
                f"{key}: the network has no part '{part}'.{suggest(part, parts)} Parts: {', '.join(parts)}, and what "
                "the names of their parameters begin with"
            )
