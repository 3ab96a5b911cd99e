"""Going on with a run: from what, with which changes, and what is refused without a trace."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from ignite.engine import Engine, Events

from spine_ignite import cli
from spine_ignite.config import RunConfig, load_config
from spine_ignite.errors import RunError, SpineIgniteError, UsageError
from spine_ignite.runs.resumption import MAY_CHANGE, resume_command
from spine_ignite.training.events import TrainingEvents
from spine_ignite.training.run import resume, train

Plugged = Callable[..., AbstractContextManager[None]]
Stopped = Callable[[int], AbstractContextManager[None]]


def config(root: Path, *overrides: str) -> RunConfig:
    return load_config(
        None,
        [
            f"data.root={root}", "data.scheme=lumbar-vertebrae", "data.batch_size=3", "model.width=4", "model.depth=3",
            "train.epochs=2", "train.steps_per_epoch=4", "precision=fp32", "threads=1", "log.tensorboard=false",
            *overrides,
        ],
    )  # fmt: skip


def quiet(_line: str) -> None:
    pass


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def load(run: Path, name: str) -> dict[str, Any]:
    return dict(torch.load(run / "checkpoints" / f"{name}.pt", weights_only=True))


def content(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.fixture
def finished(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A run of two epochs that has come to its end."""
    train(config(tiny_dataset), tmp_path / "run", echo=quiet)
    return tmp_path / "run"


def test_what_may_change_are_keys_of_the_configuration() -> None:
    def keys(value: Any, path: str = "") -> list[str]:
        if not isinstance(value, dict):
            return [path]
        return [key for name, item in value.items() for key in keys(item, f"{path}.{name}" if path else name)]

    known = keys(RunConfig().model_dump(mode="json"))
    for allowed in MAY_CHANGE:
        assert any(key.startswith(allowed) if allowed.endswith(".") else key == allowed for key in known), allowed


@pytest.mark.parametrize("edited", [True, False], ids=["config.yaml", "--set"])
def test_what_may_change_does(finished: Path, tmp_path: Path, edited: bool) -> None:
    """The dataset has moved with its slice store, the machine is another, and the run is to be longer."""
    data = tmp_path / "elsewhere"
    shutil.move(tmp_path / "dataset", data)
    changes = {
        "device": "cpu", "threads": 2, "data.workers": 1, "data.root": str(data), "log.doctor": False,
        "train.epochs": 3, "train.patience": 9, "predict.tta": True, "precision": "bf16",
    }  # fmt: skip
    overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    if edited:
        text = load_config(finished / "config.yaml", overrides)
        from spine_ignite.config import dump_config

        (finished / "config.yaml").write_text("# mine\n" + dump_config(text))
        overrides = []
    assert resume(finished, overrides, echo=quiet).epochs == 3
    now = load_config(finished / "config.yaml")
    assert (now.threads, now.data.workers, now.data.root, now.train.epochs) == (2, 1, data, 3)
    assert now.data.cache is not None
    assert now.data.cache.is_relative_to(data), "the slice store within it is the one that is used"
    assert not (tmp_path / "dataset").exists()
    assert load(finished, "last")["config"] == yaml.safe_load((finished / "config.yaml").read_text())
    assert [row["epoch"] for row in rows(finished)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("optimizer.lr=0.01", "optimizer.lr is 0.001 there and 0.01 in config.yaml or --set"),
        ("optimizer.weight_decay=0.5", "optimizer.weight_decay is 0.01 there and 0.5 in"),
        ("train.ema=0.5", "train.ema is null there and 0.5 in"),
        ("seed=3", "seed is 0 there and 3 in"),
        ("augment.enabled=false", "augment.enabled is true there and false in"),
        ("loss.options={skip_absent: false}", "loss.options.skip_absent is null there and false in"),
    ],
)
@pytest.mark.parametrize("edited", [True, False], ids=["config.yaml", "--set"])
def test_any_other_change_is_refused_by_name_and_changes_nothing(
    finished: Path, change: str, told: str, edited: bool
) -> None:
    overrides = ["train.epochs=4", change]
    if edited:
        from spine_ignite.config import dump_config

        (finished / "config.yaml").write_text(dump_config(load_config(finished / "config.yaml", overrides)))
        overrides = []
    before = content(finished)
    with pytest.raises(UsageError, match="can only go on as it was trained") as caught:
        resume(finished, overrides, echo=quiet)
    assert told in str(caught.value)
    assert content(finished) == before


def test_a_run_that_cannot_be_shortened_stays_as_it_is(finished: Path) -> None:
    before = content(finished)
    for overrides in (["train.epochs=1"], ["train.epochs=2"], [], ["train.epochs=0"], ["train.minutes=5"]):
        with pytest.raises(SpineIgniteError):
            resume(finished, overrides, echo=quiet)
        assert content(finished) == before


def test_a_run_by_epochs_can_go_on_by_minutes_and_back(finished: Path) -> None:
    # How long that took depends on what else the machine does.
    used = torch.load(finished / "checkpoints" / "last.pt", weights_only=True)["budget"]["seconds"]
    resume(finished, ["train.epochs=null", f"train.minutes={used / 60 + 0.02}"], echo=quiet)
    done = rows(finished)[-1]["epoch"]
    assert resume(finished, ["train.minutes=null", f"train.epochs={done + 1}"], echo=quiet).epochs == done + 1


def test_a_longer_schedule_is_said_to_raise_the_rate(finished: Path, stopped: Stopped) -> None:
    lines: list[str] = []
    with stopped(9):
        resume(finished, ["train.epochs=4"], echo=lines.append)
    (line,) = (line for line in lines if line.startswith("Schedule"))
    # Cosine after a warm-up of 5 %: at the end it is 0, and half-way through it is (1 + cos(pi 0.45 / 0.95)) / 2.
    assert line == (
        "Schedule:  the learning rate goes from 0.00e+00 to 5.41e-04, since the schedule now ends at epoch 4"
    )
    lines.clear()
    resume(finished, echo=lines.append)
    assert not [line for line in lines if line.startswith("Schedule")], "as long as before"


class Died(BaseException):
    """Stands for a kill: what is on the disk in that moment is all that is left."""


def dying(event: Any, when: Callable[[Engine], bool]) -> Callable[..., None]:
    def attach(trainer: Engine, _evaluator: Engine, _run: Any) -> None:
        def die(engine: Engine) -> None:
            if when(engine):
                raise Died

        trainer.add_event_handler(event, die)

    return attach


def test_a_worse_network_never_replaces_a_better_one(tiny_dataset: Path, tmp_path: Path, plugged: Plugged) -> None:
    """Killed after best.pt was written and long before last.pt is; then again after the first epoch was repeated."""
    out = tmp_path / "run"
    settings = config(tiny_dataset, "train.epochs=6", "train.checkpoint_every=6", "optimizer.lr=0.01")
    with plugged(dying(TrainingEvents.RECORDED, lambda engine: engine.state.epoch == 5)), pytest.raises(Died):
        train(settings, out, echo=quiet)
    before, scores = load(out, "best"), [row["validation/dice"] for row in rows(out)]
    assert before["best"]["score"] == max(scores) > min(scores)
    assert load(out, "last")["trainer"]["iteration"] == 0
    with plugged(dying(TrainingEvents.RECORDED, lambda engine: engine.state.epoch == 1)), pytest.raises(Died):
        resume(out, echo=quiet)
    assert load(out, "best")["best"] == before["best"]
    result = resume(out, echo=quiet)
    assert result.best_dice == max(row["validation/dice"] for row in rows(out)) == load(out, "best")["best"]["score"]
    assert [row["epoch"] for row in rows(out)] == [1, 2, 3, 4, 5, 6]


def test_a_best_network_of_another_run_or_none_is_replaced(finished: Path) -> None:
    best = finished / "checkpoints" / "best.pt"
    other = load(finished, "best")
    other["best"] = {**other["best"], "run": "another", "score": 1.0}
    torch.save(other, best)
    lines: list[str] = []
    result = resume(finished, ["train.epochs=3"], echo=lines.append)
    assert any(line.startswith("Warning") and "best.pt is not of this run" in line for line in lines)
    assert result.best_dice == load(finished, "best")["best"]["score"] < 1
    best.write_bytes(best.read_bytes()[:-999])
    lines.clear()
    resume(finished, ["train.epochs=4"], echo=lines.append)
    assert any(line.startswith("Warning") and "best.pt cannot be read" in line for line in lines)
    assert load(finished, "best")["best"]["epoch"] == 4


def test_a_run_killed_before_its_first_checkpoint_begins_anew(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged
) -> None:
    out = tmp_path / "run"
    settings = config(tiny_dataset, "train.checkpoint_every=9", "log.tensorboard=true", "optimizer.lr=1")
    with plugged(dying(Events.EPOCH_COMPLETED, lambda engine: engine.state.epoch == 2)), pytest.raises(Died):
        train(settings, out, echo=quiet)
    assert [row["epoch"] for row in rows(out)] == [1, 2]
    shutil.rmtree(out / "checkpoints")
    (out / "doctor.jsonl").write_text('{"epoch": 1, "code": "x"}\n')
    old = set((out / "tensorboard").rglob("events.*"))
    lines: list[str] = []
    resume(out, echo=lines.append)
    assert [row["epoch"] for row in rows(out)] == [1, 2]
    assert '"x"' not in (out / "doctor.jsonl").read_text()
    assert len(old) == 2, "numbers, and pictures"
    assert old.isdisjoint((out / "tensorboard").rglob("events.*"))


@pytest.mark.parametrize("left", ["best.pt", "best.safetensors"])
def test_results_without_anything_to_go_on_from_are_not_trained_over(finished: Path, left: str) -> None:
    folder = finished / "checkpoints"
    for name in ("last", "previous"):
        (folder / f"{name}.pt").unlink()
    if left != "best.pt":
        os.rename(folder / "best.pt", folder / left)
    before = content(finished)
    with pytest.raises(RunError, match=f"there is .*{left}, but neither last.pt nor previous.pt to go on from; start"):
        resume(finished, echo=quiet)
    assert content(finished) == before


@pytest.mark.parametrize("late", [True, False])
def test_patience_counts_over_all_parts_of_a_run(
    tiny_dataset: Path, tmp_path: Path, plugged: Plugged, stopped: Stopped, late: bool
) -> None:
    """Every validation is as good as the first: the third epoch is the last, also if patience is given afterwards."""
    out = tmp_path / "run"
    patience = [] if late else ["train.patience=2"]

    def attach(_trainer: Engine, evaluator: Engine, _run: Any) -> None:
        evaluator.add_event_handler(Events.COMPLETED, lambda engine: engine.state.metrics.update(dice=0.5))

    with plugged(attach):
        with stopped(10):
            train(config(tiny_dataset, "train.epochs=9", "train.checkpoint_every=9", *patience), out, echo=quiet)
        lines: list[str] = []
        assert resume(out, ["train.patience=2"], echo=lines.append).epochs == 3
        assert "Stopped early: in 2 validations the Dice did not become better" in lines
        assert load(out, "last")["trainer"]["iteration"] == 12, "what stops early is saved, whenever that is due"
        with pytest.raises(RunError, match="come to its end .* where train.patience is 2.* --set train.patience=4"):
            resume(out, echo=quiet)
        assert resume(out, ["train.patience=4"], echo=quiet).epochs == 5


def test_hyper_parameters_carry_the_best_of_all_parts(
    tiny_dataset: Path, tmp_path: Path, stopped: Stopped, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils.tensorboard import SummaryWriter

    seen: list[float] = []
    monkeypatch.setattr(SummaryWriter, "add_hparams", lambda _self, _given, found, **_: seen.append(*found.values()))
    out = tmp_path / "run"
    settings = config(tiny_dataset, "log.tensorboard=true", "optimizer.lr=0.01")
    with stopped(6):
        train(settings, out, echo=quiet)
    changed = rows(out)
    changed[0]["validation/dice"] = 0.99  # better than what follows
    (out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed))
    resume(out, echo=quiet)
    assert seen[-1] == 0.99


def told(out: Path, overrides: list[str]) -> str:
    with pytest.raises(RunError) as caught:
        resume(out, overrides, echo=quiet)
    return str(caught.value)


def test_commands_that_are_told_are_accepted(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is taken from the message, split as a shell would, and run in the situation in which it is told."""
    monkeypatch.chdir(tmp_path)
    root = finished.rename(tmp_path / "my run's")  # names that a shell would take apart

    def commands(text: str) -> list[list[str]]:
        return [shlex.split(found) for found in re.findall(r"spine-ignite (train .*?)(?=, or go on|; |$)", text)]

    end = told(root, [])
    assert commands(end) == [["train", "--resume", str(root), "--set", "train.epochs=4"]]
    assert cli.run(commands(end)[0]) == 0
    by_time = told(root, ["train.epochs=null", "train.minutes=0.0001"])
    assert cli.run(commands(by_time)[0] + ["--set", "train.epochs=null", "--set", "train.minutes=0.3"]) == 0
    with pytest.raises(UsageError) as caught:
        resume(root, ["optimizer.lr=1"], echo=quiet)
    (new,) = commands(str(caught.value))
    assert cli.run([*new, "--set", "train.epochs=1", "--set", "train.minutes=null"]) == 0
    assert (tmp_path / "NEW" / "checkpoints" / "best.pt").is_file()


def test_a_device_that_is_not_there_can_be_replaced_as_is_said(finished: Path) -> None:
    with pytest.raises(RunError, match="device 'cuda:77' is not there: .*; use device=cpu or auto"):
        resume(finished, ["device=cuda:77", "train.epochs=3"], echo=quiet)
    path = finished / "config.yaml"
    path.write_text(path.read_text().replace("device: auto", "device: cuda:77"))
    for device in ("device=cpu", "device=auto"):
        epochs = len(rows(finished)) + 1
        assert resume(finished, [device, f"train.epochs={epochs}"], echo=quiet).epochs == epochs


def test_the_command_line_passes_changes_on(finished: Path, tmp_path: Path) -> None:
    data = tmp_path / "elsewhere"
    shutil.move(tmp_path / "dataset", data)
    command = shlex.split(resume_command(finished, "train.epochs=3"))[1:]
    assert cli.run([*command, "--device", "cpu", "--data", str(data)]) == 0
    now = load_config(finished / "config.yaml")
    assert (now.device, now.data.root, now.train.epochs) == ("cpu", data, 3)
