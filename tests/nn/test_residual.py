from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.nn.residual import PreActivationUnit, SqueezeExcitation
from spine_ignite.testing import assert_agrees


def plain_norm(layer: Any, x: Tensor) -> Tensor:
    scale = layer.weight / (layer.running_var + layer.eps) ** 0.5
    return (x - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]


def plain_gate(block: SqueezeExcitation, x: Tensor) -> Tensor:
    """Hu et al. 2018, equations 2 to 4."""
    down, up = block.gate[1].weight[..., 0, 0], block.gate[3].weight[..., 0, 0]
    values = (x.mean((2, 3)) @ down.T).clamp_min(0) @ up.T
    return x / (1 + (-values).exp())[:, :, None, None]


@pytest.mark.parametrize(("outputs", "stride", "squeeze"), [(4, 1, None), (6, 2, None), (8, 2, 4), (4, 1, 2)])
def test_the_unit_is_its_formula(outputs: int, stride: int, squeeze: int | None) -> None:
    """Zhang et al. 2018, equation 1 with the activations in front."""
    unit = PreActivationUnit(4, outputs, stride, squeeze=squeeze)

    def reference(x: Tensor) -> Tensor:
        norm1, _, conv1, norm2, _, conv2 = unit.residual
        hidden = F.conv2d(plain_norm(norm1, x).clamp_min(0), conv1.weight, conv1.bias, stride, 1)
        out = F.conv2d(plain_norm(norm2, hidden).clamp_min(0), conv2.weight, conv2.bias, padding=1)
        if outputs == 4 and stride == 1:
            out = out + x
        else:
            conv, norm = unit.shortcut
            out = out + plain_norm(norm, F.conv2d(x, conv.weight, conv.bias, stride))
        return plain_gate(unit.squeeze, out) if squeeze else out

    assert_agrees(unit, reference, torch.randn(2, 4, 7, 6))
