from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import DataError, RunError, UsageError
from spine_ignite.training.prepare import prepare
from spine_ignite.training.setup import build
from spine_ignite.tuning.dry_run import dry_run


def config(root: Path, *overrides: str) -> RunConfig:
    base = ["data.scheme=lumbar-vertebrae", "data.batch_size=3", "model.width=4", "model.depth=3", "threads=1"]
    return load_config(None, [f"data.root={root}", "precision=fp32", *base, *overrides])


def everything(root: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime if path.is_file() else 0 for path in sorted(root.rglob("*"))}


def test_it_measures_what_a_run_would_be_and_leaves_nothing(
    tiny_dataset: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    # torch makes an empty folder for its compiler when a process first builds an optimizer
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("torch")))
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.chdir(tmp_path)
    before = everything(tmp_path)
    settings = config(tiny_dataset, "data.context_slices=1", "train.epochs=7", "train.accumulate=4")
    found = dry_run(settings, tmp_path / "run")
    assert everything(tmp_path) == before
    run = build(prepare(settings))
    assert found.parameters == sum(p.numel() for p in run.network.parameters())
    assert found.batch == (3, 3, 64, 48)
    assert (found.steps_per_epoch, found.validation_batches, found.epochs) == (5, 2, 7)
    assert (found.device, found.precision) == ("cpu", "fp32")
    assert found.total_seconds == pytest.approx(7 * found.epoch_seconds)
    assert 0 < found.step_seconds < found.epoch_seconds
    assert found.memory_mib > 50


def test_a_store_that_is_there_is_used(tiny_dataset: Path, tmp_path: Path) -> None:
    settings = config(tiny_dataset)
    prepare(settings)
    before = everything(tmp_path)
    dry_run(settings)
    assert everything(tmp_path) == before


def test_a_budget_of_minutes_is_told_in_epochs(tiny_dataset: Path) -> None:
    found = dry_run(config(tiny_dataset, "train.minutes=3", "data.validation=0"))
    assert found.total_seconds == 180
    assert found.epochs == int(180 / found.epoch_seconds)
    assert (found.validation_seconds, found.validation_batches) == (None, 0)


def test_what_would_stop_a_run_stops_a_dry_run(tiny_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="did not make as a run, notes.txt for one"):
        dry_run(config(tiny_dataset), tmp_path / "run")
    with pytest.raises(UsageError, match="train.monitor is validation/dicee"):
        dry_run(config(tiny_dataset, "train.monitor=validation/dicee"))
    (tiny_dataset / "train/label/mask_case1.nii.gz").unlink()
    with pytest.raises(DataError, match="has no mask"):
        dry_run(config(tiny_dataset))


TOO_LARGE = """
import resource, sys
from pathlib import Path
from spine_ignite.config import load_config
from spine_ignite.tuning.dry_run import dry_run
from spine_ignite.errors import RunError
import spine_ignite.training.setup, torchio, scipy.ndimage
used = int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 600 * 2**20,) * 2)
try:
    dry_run(load_config(None, sys.argv[1:]))
except RunError as error:
    print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to limit the memory of a process")
def test_a_batch_that_does_not_fit_is_told_with_the_way_out(tiny_dataset: Path) -> None:
    options = [
        f"data.root={tiny_dataset}", "data.scheme=lumbar-vertebrae", "data.size=[1024, 1024]", "data.batch_size=12",
        "precision=fp32", "threads=1",
    ]  # fmt: skip
    result = subprocess.run([sys.executable, "-c", TOO_LARGE, *options], capture_output=True, text=True, check=False)
    message = "cpu is out of memory at step 1 (epoch 1) with batches of 12 slices of 1024 x 1024 pixels; lower"
    assert message in result.stdout, result.stderr[-2000:]
