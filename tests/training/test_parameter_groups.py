from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from spine_ignite.config import OptimizerConfig, ScheduleConfig
from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.training.optimizers import create_optimizer
from spine_ignite.training.parameter_groups import base_rate, parameter_groups
from spine_ignite.training.schedule import LearningRateSchedule


def network() -> nn.Module:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4))
    encoder = nn.ModuleDict({"stem": block, "stage": nn.Conv2d(4, 4, 1)})
    return nn.ModuleDict({"encoder": encoder, "head": nn.Conv2d(4, 2, 1)})


def settings_of(net: nn.Module, config: OptimizerConfig) -> dict[str, tuple[float, float]]:
    """Rate and decay of each parameter by name, of which each must be in one group."""
    names = {id(p): name for name, p in net.named_parameters()}
    found = [
        (names[id(p)], (group["lr"], group["weight_decay"]))
        for group in create_optimizer(net, config).param_groups
        for p in group["params"]
    ]
    assert sorted(name for name, _ in found) == sorted(names.values())
    return dict(found)


def test_each_parameter_has_the_rate_and_the_decay_of_its_part() -> None:
    config = OptimizerConfig(
        lr=0.1,
        lr_factors={"encoder": 0.1, "encoder.stem": 0.01},
        bias_factor=2.0,
        weight_decay=0.5,
        decay_factors={"head": 0.0},
    )
    expected = {
        "encoder.stem.0.weight": (0.001, 0.5),
        "encoder.stem.0.bias": (0.002, 0.0),
        "encoder.stem.1.weight": (0.001, 0.0),
        "encoder.stem.1.bias": (0.002, 0.0),
        "encoder.stem.2.weight": (0.001, 0.0),
        "encoder.stage.weight": (0.01, 0.5),
        "encoder.stage.bias": (0.02, 0.0),
        "head.weight": (0.1, 0.0),
        "head.bias": (0.2, 0.0),
    }
    found = settings_of(network(), config)
    assert {name: pytest.approx(values) for name, values in expected.items()} == found
    everything = settings_of(network(), OptimizerConfig(weight_decay=0.5, decay_vectors=True))
    assert {decay for _, decay in everything.values()} == {0.5}


PARTS = ("encoder", "encoder.stem", "encoder.stem.0", "encoder.stage", "head", "head.bias")


@given(
    rates=st.dictionaries(st.sampled_from(PARTS), st.floats(0.01, 10)),
    decays=st.dictionaries(st.sampled_from(PARTS), st.floats(0, 10)),
    bias=st.sampled_from([1.0, 2.0]),
    vectors=st.booleans(),
    progress=st.floats(0, 0.99),
)
def test_every_parameter_is_in_one_group_and_the_schedule_keeps_the_ratios(
    rates: dict[str, float], decays: dict[str, float], bias: float, vectors: bool, progress: float
) -> None:
    net = network()
    config = OptimizerConfig(lr=0.3, lr_factors=rates, decay_factors=decays, bias_factor=bias, decay_vectors=vectors)
    settings_of(net, config)
    optimizer = create_optimizer(net, config)
    before = [group["lr"] for group in optimizer.param_groups]
    LearningRateSchedule(optimizer, ScheduleConfig(name="poly", power=1, warmup=0), lambda: progress)(None)
    after = [group["lr"] for group in optimizer.param_groups]
    assert after == pytest.approx([(1 - progress) * rate for rate in before])
    assert base_rate(optimizer) == pytest.approx(0.3 * (1 - progress))


def test_a_part_that_the_network_lacks_is_refused_with_those_that_it_has() -> None:
    message = r"optimizer\.%s: .* no part 'encode'\. Did you mean 'encoder'\? Parts: encoder, head,"
    for key in ("lr_factors", "decay_factors"):
        with pytest.raises(UsageError, match=message % key):
            parameter_groups(network(), OptimizerConfig.model_validate({key: {"encode": 0.1}}))
    with pytest.raises(ValidationError, match=r"lr_factors\.head"):
        OptimizerConfig(lr_factors={"head": 0.0})


def test_parts_are_named_as_the_architecture_does_also_where_the_core_pads() -> None:
    net = create_model("espnet", 1, 5)
    groups = parameter_groups(net, OptimizerConfig(lr=1.0, lr_factors={"encoder": 0.5}))
    half = {id(p) for group in groups if group["lr"] == 0.5 for p in group["params"]}
    assert half == {id(p) for name, p in net.named_parameters() if name.startswith("network.encoder.")}


def test_a_step_goes_as_far_as_the_factor_says(tmp_path: Path) -> None:
    """Plain gradient descent, by hand."""
    net = network()["head"]  # type: ignore[index]
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    config = OptimizerConfig(name="sgd", lr=0.5, momentum=0, weight_decay=0, bias_factor=2, lr_factors={"weight": 0.1})
    optimizer = create_optimizer(net, config)
    net(torch.ones(1, 4, 2, 2)).square().sum().backward()
    optimizer.step()
    for name, rate in (("weight", 0.05), ("bias", 1.0)):
        parameter = net.get_parameter(name)
        torch.testing.assert_close(parameter, before[name] - rate * parameter.grad)
