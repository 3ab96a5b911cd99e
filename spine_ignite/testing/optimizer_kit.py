"""Everything that the core expects of optimizers and courses of the learning rate."""

from __future__ import annotations

import copy
import io
import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from spine_ignite.config import ScheduleConfig
from spine_ignite.testing.component_kit import ComponentConformance
from spine_ignite.training.schedule import create_schedule


class OptimizerConformance(ComponentConformance):
    """Base class of an optimizer's conformance test.

    Attributes:
        learn_rate: with which it descends.
        learn_steps: within which the loss of a small problem falls to a tenth.
    """

    kind: ClassVar[str] = "optimizer"
    learn_rate: ClassVar[float] = 0.01
    learn_steps: ClassVar[int] = 300

    def build(self, network: nn.Module, lr: float | None = None, weight_decay: float = 0.0) -> Optimizer:
        """Build the optimizer for a network of two groups of parameters, the second with a tenth of the rate."""
        lr = self.learn_rate if lr is None else lr
        first, *rest = network.parameters()
        groups = [
            {"params": [first], "lr": lr, "weight_decay": weight_decay},
            {"params": rest, "lr": lr / 10, "weight_decay": 0.0},
        ]
        optimizer = self.choose()(groups, lr=lr)
        assert isinstance(optimizer, Optimizer), f"it is a {type(optimizer).__name__}, not a torch.optim.Optimizer"
        return optimizer

    def test_it_descends(self) -> None:
        """The loss of a small problem falls to a tenth."""
        network, batch = _problem()
        optimizer, first = self.build(network), _loss(network, batch).item()
        for _ in range(self.learn_steps):
            _take_step(network, optimizer, batch)
        last = _loss(network, batch).item()
        assert last < first / 10, f"the loss falls from {first:.3g} to {last:.3g} in {self.learn_steps} steps"

    def test_it_goes_on_from_its_state_as_if_it_had_never_stopped(self) -> None:
        """The state goes through a checkpoint, which holds tensors and plain data."""
        network, batch = _problem()
        optimizer = self.build(network)
        for _ in range(3):
            _take_step(network, optimizer, batch)
        content = io.BytesIO()
        torch.save(optimizer.state_dict(), content)
        content.seek(0)
        other = copy.deepcopy(network)
        resumed = self.build(other)
        resumed.load_state_dict(torch.load(content, weights_only=True))
        for _ in range(3):
            _take_step(network, optimizer, batch)
            _take_step(other, resumed, batch)
        for one, two in zip(network.parameters(), other.parameters(), strict=True):
            assert torch.equal(one, two), "what its state says is not all that it remembers"

    def test_the_rate_is_that_of_the_group(self) -> None:
        """The schedule sets it before each step: none moves nothing, and groups differ."""
        network, batch = _problem()
        optimizer, before = self.build(network), [p.detach().clone() for p in network.parameters()]
        for group, lr in zip(optimizer.param_groups, (0.0, 0.1), strict=True):
            group["lr"] = lr
        _take_step(network, optimizer, batch)
        moved = [not torch.equal(p, former) for p, former in zip(network.parameters(), before, strict=True)]
        assert not moved[0], "a group with a rate of 0 is moved; read group['lr'] in each step"
        assert all(moved[1:]), "a group with a rate of 0.1 is not moved"

    def test_weights_decay_in_their_group(self) -> None:
        """With a decay the parameters of a group end smaller."""
        sizes = []
        for decay in (0.0, 1.0):
            network, batch = _problem()
            optimizer = self.build(network, weight_decay=decay)
            for _ in range(20):
                _take_step(network, optimizer, batch)
            sizes.append(float(next(network.parameters()).detach().norm()))
        assert sizes[1] < sizes[0], f"weights are {sizes[1]:.4g} with decay and {sizes[0]:.4g} without"

    def test_parameters_without_a_gradient_stay(self) -> None:
        """As those that are frozen."""
        network, batch = _problem()
        frozen = next(network.parameters()).requires_grad_(False)
        before = frozen.detach().clone()
        _take_step(network, self.build(network), batch)
        assert torch.equal(frozen, before), "a frozen parameter is moved"


class ScheduleConformance(ComponentConformance):
    """Base class of the conformance test of a course of the learning rate."""

    kind: ClassVar[str] = "schedule"

    def test_it_is_a_factor_that_depends_on_the_progress_alone(self) -> None:
        """Finite and not negative from 0 to 1, the same whatever was asked before, and not 0 throughout."""
        curve = create_schedule(ScheduleConfig(name=self.name, options=self.options, warmup=0.0))
        places = [n / 100 for n in range(101)]
        values = [curve(t) for t in places]
        assert all(math.isfinite(value) and value >= 0 for value in values), f"a factor is none: {values}"
        assert [curve(t) for t in reversed(places)] == values[::-1], "it depends on what was asked before"
        assert max(values) > 0, "the rate is 0 throughout"


def _problem() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    x = torch.randn(64, 4, generator=generator)
    return network, (x, x[:, :1] + 0.5 * x[:, 1:2])


def _loss(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.mse_loss(network(batch[0]), batch[1])


def _take_step(network: nn.Module, optimizer: Any, batch: tuple[Tensor, Tensor]) -> None:
    optimizer.zero_grad()
    _loss(network, batch).backward()
    optimizer.step()
