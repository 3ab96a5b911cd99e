from __future__ import annotations

import json

import pytest

from spine_ignite import cli


def test_the_table_names_model_paper_and_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list-models"]) == 0
    table = capsys.readouterr().out
    assert "unet" in table
    assert "MICCAI 2015" in table
    assert "spine-ignite-unet" in table


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list-models", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (unet,) = [model for model in found["models"] if model["name"] == "unet"]
    assert unet["paper"]["year"] == 2015
    assert found["broken"] == []


def test_show_model_counts_the_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["width=64", "depth=5", "max_width=1024", "norm=none"]
    arguments = [part for option in options for part in ("--set", option)]
    assert cli.run(["show-model", "unet", "--in-channels", "3", "--classes", "2", "--json", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == 31_031_810
    assert found["options"]["depth"]["description"].startswith("resolution levels")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["unett"], "there is no model 'unett'. Did you mean 'unet'?"),
        (["unet", "--set", "width=0"], "width: input should be greater than or equal to 4"),
    ],
)
def test_show_model_refuses_with_exit_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["show-model", *arguments]) == 2
    assert message in capsys.readouterr().err
