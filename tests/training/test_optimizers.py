from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from spine_ignite.config import OptimizerConfig
from spine_ignite.errors import RunError, UsageError
from spine_ignite.training.optimizers import create_optimizer

Install = Callable[..., Path]
NONE = f"Component('none', '{__name__}:no_optimizer', 'No optimizer')"


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.PReLU(), nn.Conv2d(4, 2, 1))


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        ({"name": "sgd", "momentum": 0.8}, lambda g: torch.optim.SGD(g, lr=0.1, momentum=0.8, nesterov=True)),
        ({"name": "sgd", "momentum": 0.0}, lambda g: torch.optim.SGD(g, lr=0.1)),
        ({"name": "adam", "betas": (0.8, 0.9)}, lambda g: torch.optim.Adam(g, lr=0.1, betas=(0.8, 0.9))),
        ({"name": "nadam"}, lambda g: torch.optim.NAdam(g, lr=0.1)),
        ({"name": "adamw"}, lambda g: torch.optim.AdamW(g, lr=0.1)),
    ],
)
def test_three_steps_equal_torch_s_own(options: dict[str, Any], reference: Any) -> None:
    """Kernels are fused, weights decay in one group only: the update stays that of the plain optimizer."""
    ours, theirs = network(), network()
    optimizer = create_optimizer(ours, OptimizerConfig.model_validate({"lr": 0.1, "weight_decay": 0.3, **options}))
    kernels = [p for p in theirs.parameters() if p.ndim > 1]
    vectors = [p for p in theirs.parameters() if p.ndim <= 1]
    plain = reference([{"params": kernels, "weight_decay": 0.3}, {"params": vectors, "weight_decay": 0.0}])
    image = torch.linspace(-1, 1, 64).view(1, 1, 8, 8)
    for _ in range(3):
        for net, stepper in ((ours, optimizer), (theirs, plain)):
            stepper.zero_grad()
            net(image).square().mean().backward()
            stepper.step()
    for ours_p, theirs_p in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours_p, theirs_p, rtol=1e-4, atol=1e-5)


def test_frozen_parameters_are_left_out_and_all_others_are_in_once() -> None:
    net = network()
    frozen = next(net.parameters())
    frozen.requires_grad_(False)
    groups = create_optimizer(net, OptimizerConfig()).param_groups
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in net.parameters() if p is not frozen)


class Sign(torch.optim.Optimizer):
    """Sign descent, whose decay is a factor."""

    def __init__(self, groups: Any, lr: float, scale: float = 1.0) -> None:
        super().__init__(groups, {"lr": lr, "scale": scale})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(p.grad.sign(), alpha=group["lr"] * group["scale"])


def no_optimizer(groups: Any, lr: float) -> str:
    return "none"


def test_a_plugin_s_optimizer_gets_the_groups_and_its_options(install: Install) -> None:
    install("acme", register_optimizers=[f"Component('sign', '{__name__}:Sign', 'Signs')", NONE])
    ours = network()
    before = [p.detach().clone() for p in ours.parameters()]
    config = {"name": "sign", "lr": 0.5, "weight_decay": 0.1, "options": {"scale": 2.0}}
    optimizer = create_optimizer(ours, OptimizerConfig.model_validate(config))
    ours(torch.ones(1, 1, 8, 8)).square().mean().backward()
    optimizer.step()
    for old, new in zip(before, ours.parameters(), strict=True):
        decay = 0.1 if old.ndim > 1 else 0.0
        torch.testing.assert_close(new, old * (1 - 0.5 * decay) - new.grad.sign())  # type: ignore[union-attr]
    with pytest.raises(RunError, match=r"optimizer 'none' of acme 1.0 must give a torch.optim.Optimizer, and gives a"):
        create_optimizer(ours, OptimizerConfig(name="none"))
    with pytest.raises(UsageError, match=r"options of optimizer 'sign': there is no option 'lr'. Options: scale"):
        create_optimizer(ours, OptimizerConfig(name="sign", options={"scale": 1.0, "lr": 2.0}))
