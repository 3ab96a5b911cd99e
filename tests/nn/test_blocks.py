from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from spine_ignite.nn.blocks import BatchNorm2d, ConvNormAct, crop_or_resize, initialise_he, make_norm


def test_batch_norm_equals_torch_s_where_torch_s_works() -> None:
    torch.manual_seed(0)
    ours, theirs = BatchNorm2d(3), nn.BatchNorm2d(3)
    for _ in range(3):
        x = torch.randn(2, 3, 4, 5) * 2 + 1
        assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)
    x = torch.randn(1, 3, 1, 1)
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


def test_batch_norm_of_a_single_value_uses_the_running_statistics() -> None:
    norm = BatchNorm2d(3).train()
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0)
    expected = (torch.full((1, 3, 1, 1), 5.0) - 1) / math.sqrt(4 + norm.eps)
    torch.testing.assert_close(norm(torch.full((1, 3, 1, 1), 5.0)), expected)
    assert norm.running_mean.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("norm", "bias"), [("batch", False), ("instance", False), ("group", False), ("none", True)])
def test_a_convolution_has_a_bias_only_without_normalisation(norm: str, bias: bool) -> None:
    block = ConvNormAct(4, 12, norm=norm)  # type: ignore[arg-type]
    assert (block[0].bias is not None) is bias
    assert block(torch.randn(1, 4, 7, 9)).shape == (1, 12, 7, 9)


def test_instance_norm_equals_torch_s() -> None:
    x = torch.randn(2, 6, 5, 4)
    torch.testing.assert_close(make_norm("instance", 6)(x), nn.InstanceNorm2d(6)(x))


def test_he_initialisation_has_the_paper_s_deviation() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 256, 3)
    initialise_he(conv)
    assert float(conv.weight.detach().std()) == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.02)
    assert not conv.bias.any()


def test_what_is_too_large_is_cropped_and_what_is_too_small_resampled() -> None:
    x = torch.randn(2, 3, 6, 8)
    assert torch.equal(crop_or_resize(x, (5, 7)), x[..., :5, :7])
    assert torch.equal(crop_or_resize(x, (6, 8)), x)
    torch.testing.assert_close(crop_or_resize(x, (7, 9)), F.interpolate(x, (7, 9), mode="bilinear"))
    both = crop_or_resize(x, (5, 9))  # the rows that are kept stay where they are
    torch.testing.assert_close(both, F.interpolate(x[..., :5, :], (5, 9), mode="bilinear"))
