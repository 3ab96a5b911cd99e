from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from spine_ignite.errors import RunError, SpineIgniteError, UsageError
from spine_ignite.inference.export import export_run
from spine_ignite.inference.members import Member, load_members
from spine_ignite.inference.network_sources import find_sources
from spine_ignite.inference.options import InferenceOptions
from spine_ignite.inference.predictor import Predictor
from spine_ignite.machine.precision import choose_precision
from spine_ignite.runs.checkpoints import load_network
from spine_ignite.runs.exported import fingerprint
from spine_ignite.volumes.volume import read_image

CPU = torch.device("cpu")
RunWriter = Callable[..., Path]


@pytest.fixture
def exported(tmp_path: Path, write_run: RunWriter) -> Path:
    return export_run(write_run(tmp_path / "run")).path


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the header of an exported file, and leave its weights as they are."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["spine_ignite"])
    change(header)
    save_file(load_file(path), path, metadata={"spine_ignite": json.dumps(header)})


def test_the_file_holds_the_averaged_weights_and_the_description(tmp_path: Path, write_run: RunWriter) -> None:
    run = write_run(tmp_path / "run", "data.context_slices=1")
    checkpoint = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    averaged = {k: v + 1 if v.is_floating_point() else v for k, v in checkpoint["model"].items()}
    # As training on channels last leaves them.
    averaged = {k: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in averaged.items()}
    torch.save({**checkpoint, "ema": averaged}, run / "checkpoints" / "last.pt")
    result = export_run(run, tmp_path / "new" / "unet.safetensors", checkpoint="last")
    assert (result.model, result.batch, result.difference) == ("unet", (3, 3, 64, 64), 0.0)
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["unet.safetensors"]
    found = load_file(result.path)
    assert found.keys() == averaged.keys()
    assert all(torch.equal(found[name], value) for name, value in averaged.items())
    with safe_open(result.path, framework="pt") as file:
        metadata = file.metadata()
    header = json.loads(metadata.pop("spine_ignite"))
    assert metadata == {}
    assert header["format"] == 1
    assert header["plugin"].startswith("spine-ignite-unet ")
    assert header["description"] == checkpoint["description"]


def test_a_run_trained_on_channels_last_is_exported(tmp_path: Path, write_run: RunWriter) -> None:
    """Its state dict has metadata, as torch makes them; the network that is loaded has the layout of a new one."""
    run = write_run(tmp_path / "run")
    path = run / "checkpoints" / "best.pt"
    network = load_network(path).network.to(memory_format=torch.channels_last)
    torch.save({**torch.load(path, weights_only=True), "model": network.state_dict()}, path)
    assert all(weight.is_contiguous() for weight in load_network(path).network.state_dict().values())
    assert export_run(run).difference == 0


def test_the_same_weights_give_the_same_file(tmp_path: Path, write_run: RunWriter) -> None:
    run = write_run(tmp_path / "run")
    one, two = (export_run(run, tmp_path / f"{n}.safetensors").path.read_bytes() for n in range(2))
    assert one == two
    assert export_run(run, checkpoint="last").path.read_bytes() != one


def test_labels_are_those_of_the_checkpoint(exported: Path, tiny_dataset: Path) -> None:
    scan = read_image(tiny_dataset / "test" / "source" / "Case5.nii.gz")

    def segment(name: str) -> Any:
        member = Member(load_network(exported.with_name(name)))
        return Predictor([member], device=CPU, precision=choose_precision("fp32", CPU)).segment(scan).values

    best, last, found = (segment(name) for name in ("best.pt", "last.pt", "best.safetensors"))
    np.testing.assert_array_equal(found, best)
    assert (found != last).any(), "other weights give other labels"


def test_an_exported_file_is_a_member_of_its_run(exported: Path, tmp_path: Path, write_run: RunWriter) -> None:
    elsewhere = exported.rename(tmp_path / "unet.safetensors")
    run, other = (find_sources(path) for path in (tmp_path / "run", write_run(tmp_path / "other")))
    options = InferenceOptions(checkpoints=("best", str(elsewhere)))
    best, file = load_members(run, options, CPU)
    assert (file.record()["run"], file.record()["checkpoint"]) == (str(tmp_path / "run"), "unet.safetensors")
    batch = torch.randn(1, 1, 64, 64)
    precision = choose_precision("fp32", CPU)
    with torch.inference_mode():
        assert torch.equal(file.scores(batch, precision), best.scores(batch, precision))
    with pytest.raises(
        UsageError, match="unet.safetensors is the checkpoint of one run; with 2 runs give best or last"
    ):
        load_members([*run, *other], options, CPU)


def test_every_truncated_file_and_every_changed_byte_is_refused(exported: Path, tmp_path: Path) -> None:
    content, bad = exported.read_bytes(), tmp_path / "bad.safetensors"
    weights = fingerprint(load_file(exported))
    rng = np.random.default_rng(0)
    for length in (0, 7, 8, 200, len(content) // 2, len(content) - 1):
        bad.write_bytes(content[:length])
        with pytest.raises(RunError, match="bad.safetensors cannot be read, it may be truncated or corrupt"):
            load_network(bad)
    start = 8 + int.from_bytes(content[:8], "little")
    for place in rng.integers(start, len(content), 30):
        bad.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(RunError, match="bad.safetensors is corrupt: the checksum of its weights is wrong"):
            load_network(bad)
    for place in rng.integers(0, start, 60):
        bad.write_bytes(content[:place] + bytes([content[place] ^ 1 << rng.integers(8)]) + content[place + 1 :])
        with suppress(RunError):
            network = load_network(bad).network
            # A version, a name of a class, a colour may have changed; the weights are what they were.
            assert fingerprint(network.state_dict()) == weights


def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    path = tmp_path / "huge.safetensors"
    for length in (len(header), 1 << 62):
        path.write_bytes(length.to_bytes(8, "little") + header)
        with pytest.raises(RunError, match="huge.safetensors cannot be read, it may be truncated or corrupt"):
            load_network(path)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("format", 2, "is not an export of this version of spine-ignite (format 1): format: "),
        ("description", [], "is not an export of this version of spine-ignite (format 1): description: "),
        ("sha256", None, "is corrupt: the checksum of its weights is wrong"),
        (("model",), "unett", "cannot be built: there is no model 'unett'"),
        (("model",), ["unet"], "model: input should be a valid string (got ['unet'])"),
        (("options",), {"width": 10**9}, "cannot be built: options of model 'unet': width: "),
        (("options",), {"name": "x"}, "cannot be built: "),
        (("options",), "no", "the description in"),
        (("options",), {"width": 8, "depth": 2}, "do not fit the network"),
        (("scheme",), {"name": "x"}, "is not a label scheme: key 'classes' is missing"),
        (("scheme",), None, "scheme: input should be a valid dictionary (got None)"),
        (("spacing",), [1.0], "the description in"),
        (("spacing",), [1e-9, 1.0], "spacing.0: input should be greater than or equal to 0.01 (got 1e-09)"),
        (("spacing",), [float("nan"), 1.0], "spacing.0: input should be a finite number (got nan)"),
        (("size",), [64, 10**9], "size.1: input should be less than or equal to 16384 (got 1000000000)"),
        (("size",), [64, float("inf")], "the description in"),
        (("in_channels",), 10**9, "in_channels is 1000000000, but context_slices 0 gives 1"),
        (("context_slices",), 10**9, "context_slices: input should be less than or equal to 5"),
        (("clip_percentiles",), [99.0, 1.0], "clip_percentiles must rise, got 99 and 1"),
        (("format",), 99, "is not a checkpoint of this version"),
    ],
)
def test_a_header_that_lies_is_refused(exported: Path, part: str | tuple[str], value: Any, message: str) -> None:
    def change(header: dict[str, Any]) -> None:
        if isinstance(part, str):
            header[part] = value
        else:
            header["description"][part[0]] = value

    rewrite(exported, change)
    with pytest.raises(RunError) as caught:
        load_network(exported)
    assert message in str(caught.value)
    assert "best.safetensors" in str(caught.value)


@pytest.mark.parametrize("key", ["model", "options", "in_channels", "scheme", "spacing", "size"])
def test_a_description_without_a_key_is_refused(exported: Path, key: str) -> None:
    rewrite(exported, lambda header: header["description"].pop(key))
    with pytest.raises(RunError, match=f"the description in .*best.safetensors cannot be used: {key} is missing"):
        load_network(exported)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"spine_ignite": "{"}, {"spine_ignite": "[" * 10**5}])
def test_files_of_other_programs_are_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"w": torch.zeros(2)}, path, metadata=metadata)
    with pytest.raises(RunError, match="was not written by `spine-ignite export`|is not an export of this version"):
        load_network(path)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("none", "folder"):
        with pytest.raises(RunError, match=f"{name}.safetensors does not exist, or is not a file"):
            load_network(tmp_path / f"{name}.safetensors")


def test_an_export_that_cannot_be_made_leaves_the_former_file(exported: Path) -> None:
    run, before = exported.parent.parent, exported.read_bytes()
    for arguments, message in (
        ({"checkpoint": "bets"}, "there is no checkpoint 'bets'. Did you mean 'best'? Give best, last or a file"),
        ({"checkpoint": "none.pt"}, "checkpoint none.pt does not exist"),
        ({"out": Path("x.onnx")}, "the suffix of x.onnx does not fit the format safetensors: use .safetensors for"),
        ({"out": exported, "file_format": "torch-export"}, "does not fit the format torch-export"),
    ):
        with pytest.raises(SpineIgniteError) as caught:
            export_run(run, **arguments)  # type: ignore[arg-type]
        assert message in str(caught.value)
    checkpoint = torch.load(run / "checkpoints" / "best.pt", weights_only=True)
    checkpoint["model"].popitem()
    torch.save(checkpoint, run / "checkpoints" / "best.pt")
    with pytest.raises(RunError, match="do not fit the network"):
        export_run(run)
    diverged = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    next(iter(diverged["model"].values())).fill_(torch.nan)
    torch.save(diverged, run / "checkpoints" / "best.pt")
    with pytest.raises(
        RunError, match="best.safetensors is not written: the logits of the checkpoint's network are not"
    ):
        export_run(run)
    assert exported.read_bytes() == before
    assert sorted(path.name for path in exported.parent.iterdir()) == ["best.pt", "best.safetensors", "last.pt"]


def test_an_exported_program_runs_in_a_process_that_knows_only_torch(tmp_path: Path, write_run: RunWriter) -> None:
    run = write_run(tmp_path / "run", "data.size=[64,72]")
    result = export_run(run, tmp_path / "unet.pt2", file_format="torch-export")
    batch = torch.randn(5, 1, 64, 72)
    torch.save(batch, tmp_path / "batch.pt")
    code = f"""
import json, sys, torch
extra = {{"spine_ignite.json": ""}}
network = torch.export.load({str(result.path)!r}, extra_files=extra).module()
batch = torch.load({str(tmp_path / "batch.pt")!r})
torch.save([network(batch), network(batch[:1])], {str(tmp_path / "logits.pt")!r})
assert json.loads(extra["spine_ignite.json"])["description"]["size"] == [64, 72]
assert not any(name.startswith("spine_ignite") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    found, first = torch.load(tmp_path / "logits.pt")
    with torch.inference_mode():
        expected = load_network(run / "checkpoints" / "best.pt").network(batch)
    atol = 1e-5 * float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)
    torch.testing.assert_close(first, expected[:1], rtol=0, atol=atol)


def test_an_architecture_that_cannot_be_captured_is_told(
    tmp_path: Path, write_run: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run")

    class Counts(torch.nn.Module):
        """What it does depends on the numbers in the batch, which a captured program cannot know."""

        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network(x) if x.sum() > 0 else self.network(-x)  # type: ignore[no-any-return]

    from spine_ignite.inference import members

    def load(path: Path, _device: Any) -> Any:
        from dataclasses import replace

        trained = load_network(path)
        return replace(trained, network=Counts(trained.network).eval())

    monkeypatch.setattr(members, "load_network", load)
    with pytest.raises(RunError, match="torch.export cannot capture unet with an open batch size: "):
        export_run(run, file_format="torch-export")
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best.pt", "last.pt"]
