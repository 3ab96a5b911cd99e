from __future__ import annotations

import json
from pathlib import Path

import pytest

from spine_ignite.compare.cost import Cost, run_cost
from spine_ignite.config import dump_config, load_config
from spine_ignite.errors import RunError, UsageError
from spine_ignite.models import create_model
from spine_ignite.runs.directory import RunDirectory


def run_directory(root: Path, *settings: str) -> RunDirectory:
    root.mkdir(exist_ok=True)
    config = load_config(None, ["data.size=[64,96]", "model.width=4", "model.depth=2", *settings])
    (root / "config.yaml").write_text(dump_config(config))
    return RunDirectory(root)


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_cost_is_measured_once_for_what_defines_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = run_directory(tmp_path / "run", "data.context_slices=1")
    network = create_model("unet", 3, 4, width=4, depth=2)
    file = directory.evaluation / "cost.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"network": {}, "parameters": 1, "setting": {}, "gflops": 1.0, "latency_ms": 1.0}))
    found = run_cost(directory, 4)
    assert found.parameters == sum(p.numel() for p in network.parameters())
    assert found.setting["size"] == [64, 96]
    assert found.gflops is not None
    first = 2 * 9 * 3 * 4 * 64 * 96  # the first convolution takes the slice and its neighbours
    assert first < found.gflops * 1e9 < 40 * first
    change(file, latency_ms=123.0, parameters=17)
    assert run_cost(directory, 4).latency_ms == 123.0, "taken from the file"
    assert run_cost(directory, 4, device=None) == Cost(17, None, None, {})
    assert run_cost(directory, 5, device=None).parameters == found.parameters + 5, "a class more: 4 weights and a bias"

    def measure(*_: object, size: tuple[int, int], **__: object) -> None:
        raise RunError(f"measured at {size}")

    monkeypatch.setattr("spine_ignite.profiling.profile_model", measure)
    run_directory(directory.root, "data.context_slices=1", "data.size=[96,96]")
    with pytest.raises(RunError, match="measured at .96, 96."):
        run_cost(directory, 4)


def test_parameters_alone_are_counted_without_weights_from_anywhere(tmp_path: Path) -> None:
    directory = run_directory(tmp_path / "run")
    (directory.root / "config.yaml").write_text(
        dump_config(load_config(None, ["model.name=pspnet", "model.backbone=resnet18", "model.pretrained=true"]))
    )
    network = create_model("pspnet", 1, 4, backbone="resnet18")
    assert run_cost(directory, 4, device=None).parameters == sum(p.numel() for p in network.parameters())
    assert not (directory.evaluation / "cost.json").exists()
    with pytest.raises(RunError, match="has no data.size"):
        run_cost(directory, 4)


def test_a_damaged_file_is_measured_again_and_an_absent_architecture_told(tmp_path: Path) -> None:
    directory = run_directory(tmp_path / "run")
    directory.evaluation.mkdir()
    counted = sum(p.numel() for p in create_model("unet", 1, 4, width=4, depth=2).parameters())
    assert run_cost(directory, 4).parameters == counted
    file = directory.evaluation / "cost.json"
    record = json.loads(file.read_text())
    for damaged in ("{", "[]", json.dumps(record | {"parameters": "x"}), json.dumps(record | {"gflops": [1]})):
        file.write_text(damaged)
        assert run_cost(directory, 4, device=None).parameters == counted
    (directory.root / "config.yaml").write_text("model: {name: unett}\n")
    with pytest.raises(UsageError, match="Did you mean 'unet'"):
        run_cost(directory, 4, device=None)
