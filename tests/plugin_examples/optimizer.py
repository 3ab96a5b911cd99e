"""A new optimizer: Lion (Chen et al. 2023), named by ``optimizer.name: lion``."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from spine_ignite.hookspecs import RegisterComponent, hookimpl
from spine_ignite.spec import Component, Options


class LionOptions(Options):
    """Options of Lion."""

    betas: tuple[float, float] = Field((0.9, 0.99), description="of the step, and of what is remembered")


@hookimpl
def register_optimizers(register: RegisterComponent) -> None:
    """Register ``lion``."""
    register(Component("lion", f"{__name__}:lion", "Sign of the momentum (Chen et al. 2023)", LionOptions))


def lion(groups: list[dict[str, Any]], *, lr: float, betas: tuple[float, float]) -> Any:
    """Return the optimizer; torch is imported when it is used, not when plugins are listed."""
    import torch

    class Lion(torch.optim.Optimizer):
        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in (p for p in group["params"] if p.grad is not None):
                    momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    sign = torch.lerp(p.grad, momentum, betas[0]).sign()
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(sign, alpha=group["lr"])
                    momentum.lerp_(p.grad, 1 - betas[1])

    return Lion(groups, {"lr": lr})
