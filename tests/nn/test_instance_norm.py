"""Instance normalisation in channels_last, against its formula and against torch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from spine_ignite.nn.instance_norm import InstanceNorm2d, replace_instance_norms


def formula(x: Tensor, norm: nn.InstanceNorm2d) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean((2, 3), keepdim=True)
    return (x - mean) / (variance + norm.eps).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


@pytest.fixture
def norm() -> InstanceNorm2d:
    torch.manual_seed(0)
    norm = InstanceNorm2d(6, eps=1e-3, affine=True)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.uniform_(norm.bias)
    return norm


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_values_and_gradients_are_those_of_the_formula(
    norm: InstanceNorm2d, kind: torch.dtype, tolerance: float
) -> None:
    x = channels_last(torch.randn(3, 6, 9, 7).add_(2).to(kind)).requires_grad_()
    cotangent = torch.randn(3, 6, 9, 7)
    result = norm(x)
    (result * cotangent).sum().backward()
    assert result.dtype == kind
    assert result.is_contiguous(memory_format=torch.channels_last)

    exact = copy.deepcopy(norm).double()
    exact.zero_grad()
    truth = x.detach().double().requires_grad_()
    expected = formula(truth, exact)
    (expected * cotangent).sum().backward()
    near = {"rtol": tolerance, "atol": tolerance * 5, "check_dtype": False}
    torch.testing.assert_close(result, expected, **near)
    torch.testing.assert_close(x.grad, truth.grad, **near)
    torch.testing.assert_close(norm.weight.grad, exact.weight.grad, **near)
    torch.testing.assert_close(norm.bias.grad, exact.bias.grad, **near)


def test_an_image_in_channels_last_is_not_copied(norm: InstanceNorm2d) -> None:
    x = channels_last(torch.randn(2, 6, 16, 16)).requires_grad_()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        norm(x)
    assert "aten::copy_" not in {event.name for event in profile.events()}


def test_replaces_norms_and_keeps_parameters() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sequential(nn.InstanceNorm2d(4, affine=True)), nn.InstanceNorm2d(4))
    state = {name: value.clone() for name, value in network.state_dict().items()}
    parameters = list(network.parameters())
    x = channels_last(torch.randn(2, 1, 20, 20))
    before = network(x)
    replace_instance_norms(network)
    assert isinstance(network[1][0], InstanceNorm2d)
    assert all(one is other for one, other in zip(parameters, network.parameters(), strict=True))
    torch.testing.assert_close(network.state_dict(), state)
    torch.testing.assert_close(network(x), before)


def test_can_be_exported(norm: InstanceNorm2d) -> None:
    x = channels_last(torch.randn(2, 6, 16, 16))
    exported = torch.export.export(norm.eval(), (x,)).module()
    torch.testing.assert_close(exported(x), norm(x))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_single_pixel_becomes_the_bias(norm: InstanceNorm2d, layout: torch.memory_format) -> None:
    x = torch.randn(2, 6, 1, 1).contiguous(memory_format=layout)
    torch.testing.assert_close(norm(x), norm.bias[None, :, None, None].expand(2, -1, -1, -1))
