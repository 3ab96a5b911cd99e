from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from spine_ignite.errors import RunError
from spine_ignite.labels import load_scheme
from spine_ignite.models import create_model
from spine_ignite.runs.checkpoints import load_network, read_checkpoint, read_newest
from spine_ignite.runs.description import Description
from spine_ignite.runs.saving import save_checkpoint

OPTIONS: dict[str, Any] = {"width": 4, "depth": 2}


def describe(**change: Any) -> Description:
    values: dict[str, Any] = {
        "model": "unet",
        "options": OPTIONS,
        "in_channels": 1,
        "scheme": load_scheme("lumbar-vertebrae"),
        "spacing": (1.0, 1.0),
        "clip_percentiles": (0.5, 99.5),
        "context_slices": 0,
        "size": (64, 64),
    }
    return Description(**{**values, **change})


def save(path: Path, **extra: Any) -> torch.nn.Module:
    network = create_model("unet", 1, 8, **OPTIONS)
    save_checkpoint(path, {"model": network.state_dict(), "description": describe().state_dict(), **extra})
    return network


def test_a_saved_network_comes_back(tmp_path: Path) -> None:
    network = save(tmp_path / "best.pt")
    trained = load_network(tmp_path / "best.pt")
    assert trained.description == describe()
    x = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(trained.network(x), network.eval()(x))


def test_averaged_weights_are_preferred(tmp_path: Path) -> None:
    averaged = {
        k: v + 1 if v.is_floating_point() else v for k, v in create_model("unet", 1, 8, **OPTIONS).state_dict().items()
    }
    save(tmp_path / "last.pt", ema=averaged)
    loaded = load_network(tmp_path / "last.pt").network.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in averaged.items())


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("owned",)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Evil(), "description": {}}, tmp_path / "evil.pt")
    with pytest.raises(RunError, match="evil.pt is refused: it holds more than weights and plain data"):
        read_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "cannot be read"), (b"PK\x03\x04 nonsense", "cannot be read"), (b"plain text", "refused|cannot be read")],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(RunError, match=message):
        read_checkpoint(tmp_path / "bad.pt")


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "last.pt")
    (tmp_path / "last.pt").write_bytes((tmp_path / "last.pt").read_bytes()[:5000])
    with pytest.raises(RunError, match="cannot be read, it may be truncated or corrupt"):
        load_network(tmp_path / "last.pt")


def test_a_missing_checkpoint_and_other_dictionaries_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not exist"):
        read_checkpoint(tmp_path / "none.pt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(RunError, match="not a checkpoint of spine-ignite"):
        read_checkpoint(tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "ccnet"}, "its model is 'unet', the run's is 'ccnet'"),
        ({"scheme": load_scheme("mrspineseg")}, "its number of classes is 8, the run's is 20"),
        ({"in_channels": 3}, "its number of input channels is 1, the run's is 3"),
        ({"options": {"width": 8}}, "its model options is"),
        ({"border": "all"}, "its rule for borders (data.border) is 'inside', the run's is 'all'"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError) as caught:
        describe(**change).require_same(describe(), tmp_path / "last.pt")
    assert message in str(caught.value)


def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    """The limit on file size makes the operating system refuse the write in its middle."""
    path = tmp_path / "last.pt"
    save(path)
    before = path.read_bytes()
    code = f"""
import resource, signal, sys, torch
from pathlib import Path
from spine_ignite.runs.saving import save_checkpoint
from spine_ignite.errors import RunError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, {resource.RLIM_INFINITY}))
try:
    save_checkpoint(Path({str(path)!r}), {{"model": torch.zeros(100000), "description": {{}}}})
except RunError as error:
    sys.exit(0 if "the disk (or quota) is full" in str(error) else str(error))
sys.exit("was written")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]


def test_the_checkpoint_before_is_kept_and_taken_where_the_last_is_damaged(tmp_path: Path) -> None:
    last, previous = tmp_path / "last.pt", tmp_path / "previous.pt"
    for step in (1, 2, 3):
        save_checkpoint(last, {"model": torch.full((5000,), step), "description": {}}, previous)
    assert [float(torch.load(path)["model"][0]) for path in (last, previous)] == [3, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]
    said: list[str] = []
    newest = read_newest((last, previous), said.append)
    assert newest is not None
    assert (newest[1], said) == (last, [])
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of a weight, which torch.load does not notice
    last.write_bytes(content)
    found = read_newest((last, previous), said.append)
    assert found is not None
    assert found[1] == previous
    assert float(found[0]["model"][0]) == 2
    (line,) = said
    assert "last.pt cannot be read, it may be truncated or corrupt: the checksum of its part" in line
    assert line.endswith(f"going on from the one before, {previous}")
    last.unlink()
    found = read_newest((last, previous), said.append)
    assert found is not None
    assert found[1] == previous
    previous.write_bytes(b"nothing")
    with pytest.raises(RunError, match="previous.pt cannot be read|previous.pt is refused"):
        read_newest((last, previous), said.append)
    previous.unlink()
    assert read_newest((last, previous), said.append) is None


def test_weights_that_are_no_numbers_are_not_gone_on_with(tmp_path: Path) -> None:
    last, previous, said = tmp_path / "last.pt", tmp_path / "previous.pt", list[str]()
    torch.save({"model": {"weight": torch.tensor([1.0, float("nan")])}, "description": {}}, last)
    torch.save({"model": {"weight": torch.tensor([1.0, float("-inf")])}, "description": {}}, previous)
    found = read_newest((last, previous), said.append)
    assert found is not None
    assert found[1] == previous
    assert said == [f"Warning:   the weights in {last} are not finite; going on from the one before, {previous}"]
