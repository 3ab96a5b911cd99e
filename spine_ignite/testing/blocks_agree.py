"""Blocks of a network held against a plain function of their formula."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Draw all parameters and running statistics anew, in place; return the module.

    What starts at zero (residual scales, output projections) would otherwise hide a block from its test.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.is_floating_point():
                drawn = torch.randn(value.shape, generator=generator)
                if name.endswith("running_var"):
                    drawn = drawn.abs() + 0.5
                elif value.ndim > 1:
                    drawn = drawn / math.sqrt(value[0].numel())
                value.copy_(drawn)
    return module


def assert_agrees(
    module: nn.Module, reference: Callable[..., Tensor], *inputs: Tensor, tolerance: float = 1e-6, seed: int = 0
) -> None:
    """Compare a block with a plain reference of its formula, forward and gradient, in float64 and eval mode.

    Args:
        module: the block; its parameters are drawn anew.
        reference: called with the same inputs; it may read the module's parameters.
        inputs: what the block takes; gradients with respect to them and to all parameters are compared.
        tolerance: largest relative error (in the Euclidean norm).
        seed: of the parameters and of the output's weights in the gradient.
    """
    randomise(module, seed).double().eval()
    given = [x.detach().double().requires_grad_() for x in inputs]
    parameters = [p for p in module.parameters() if p.requires_grad]
    found, expected = module(*given), reference(*given)
    assert found.shape == expected.shape, f"shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    gradients = [
        torch.autograd.grad((out * weights).sum(), [*given, *parameters], retain_graph=True, allow_unused=True)
        for out in (found, expected)
    ]
    pairs = [("output", found, expected)]
    names = [f"input {number}" for number in range(len(given))]
    names += [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    for name, mine, theirs in zip(names, *gradients, strict=True):
        assert (mine is None) == (theirs is None), f"only one of the two has a gradient of {name}"
        if mine is not None and theirs is not None:
            pairs.append((f"gradient of {name}", mine, theirs))
    largest = max(float(theirs.norm()) for name, _, theirs in pairs if name != "output") if len(pairs) > 1 else 0.0
    for name, mine, theirs in pairs:
        # A gradient that is zero but for rounding is held against the largest one.
        size = float(theirs.detach().norm()) if name == "output" else max(float(theirs.detach().norm()), 1e-6 * largest)
        error = float((mine - theirs).detach().norm()) / max(size, 1e-300)
        assert error < tolerance, f"{name} has a relative error of {error:.2e}"
