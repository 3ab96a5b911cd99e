from __future__ import annotations

import json

import pytest

from spine_ignite import cli
from spine_ignite.errors import UsageError
from spine_ignite.profiling import profile_model


def test_a_network_s_cost_is_what_its_layers_say() -> None:
    """A U-Net of two levels without normalisation: 3x3 convolutions, a 2x2 transposed and a 1x1 one."""
    options = {"width": 8, "depth": 2, "norm": "none"}
    found = profile_model("unet", options, size=(64, 96), batch=2, classes=3, repeats=2)
    pixels = 64 * 96
    taps = [(1, 8, 9, 1), (8, 8, 9, 1), (8, 16, 9, 4), (16, 16, 9, 4), (16, 8, 9, 1), (8, 8, 9, 1), (8, 3, 1, 1)]
    operations = sum(2 * i * o * k * pixels // scale for i, o, k, scale in taps)
    operations += 2 * 16 * 8 * 4 * pixels // 4
    assert found.gflops * 1e9 == pytest.approx(operations, rel=1e-6)
    assert found.parameters == sum(i * o * k + o for i, o, k, _ in taps) + 16 * 8 * 4 + 8
    assert found.trainable == found.parameters
    assert found.throughput == pytest.approx(2 / (found.latency_ms / 1000))
    assert found.latency_ms > 0


def test_memory_grows_with_the_slice() -> None:
    small, large = (profile_model("unet", {"width": 8, "depth": 2}, size=(s, s), repeats=1) for s in (128, 1024))
    activations = 8 * 4 * (1024**2 - 128**2) / 2**20  # one map of the first level, in MiB
    assert large.memory_mib - small.memory_mib > activations


def test_frozen_parameters_are_told_apart() -> None:
    found = profile_model("emanet", {"backbone": "resnet18", "channels": 16, "bases": 4}, size=(64, 64), repeats=1)
    assert found.parameters - found.trainable == 16 * 16 + 16


def test_mistakes_of_the_other_process_come_back() -> None:
    with pytest.raises(UsageError, match="backbone 'resnet_18' is not one of timm's"):
        profile_model("pspnet", {"backbone": "resnet_18"}, size=(64, 64))


def test_the_command_prints_a_table_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["profile", "unet", "--size", "64", "64", "--repeats", "1", "--set", "width=8"]
    assert cli.run(arguments) == 0
    assert "GFLOPs" in capsys.readouterr().out
    assert cli.run([*arguments, "--json"]) == 0
    assert [value["name"] for value in json.loads(capsys.readouterr().out)] == ["unet"]
    assert cli.run(["profile", "unett"]) == 2
    assert "Did you mean 'unet'?" in capsys.readouterr().err
