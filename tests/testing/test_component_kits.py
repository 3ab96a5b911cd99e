"""The kits for components must fail for what they are there to find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from spine_ignite.testing import (
    CleanupConformance,
    CommandConformance,
    ComponentConformance,
    LossConformance,
    MetricConformance,
    OptimizerConformance,
    ReaderConformance,
    ScheduleConformance,
    TrackerConformance,
)
from spine_ignite.testing.small_network import small_network

BAD = """
import click
import numpy as np
import torch
import torch.nn.functional as F
from spine_ignite.hookspecs import hookimpl
from spine_ignite.inference.postprocess.cleaned import Cleaned
from spine_ignite.spec import Component, OfClasses, Options
from spine_ignite.volumes.reader import Stored

ce = lambda logits, label: F.cross_entropy(logits, label.long())

def each_pixel(num_classes):
    return lambda logits, label: F.cross_entropy(logits, label.long(), reduction="none")

def upside_down(num_classes):
    return lambda logits, label: -ce(logits, label).clamp(max=50)

def log_of_zero(num_classes):
    return lambda logits, label: -logits.softmax(1).log().gather(1, label.long()[:, None]).mean()

def in_place(num_classes):
    return lambda logits, label: ce(logits.mul_(2), label)

def counts_ignored(num_classes):
    return lambda logits, label, labelled=None: ce(logits, label.clamp(max=num_classes - 1))

def deaf(num_classes, weight=()):
    return lambda logits, label: ce(logits, label)

@hookimpl
def register_losses(register):
    for name in ("each_pixel", "upside_down", "log_of_zero", "in_place", "counts_ignored", "deaf"):
        register(Component(name, f"{__name__}:{name}", "A loss"))
    register(Component("wordy", f"{__name__}:deaf", "one\\ntwo", Undescribed))

class Undescribed(Options):
    width: int = 1

def constant_one(confusion):
    return 1.0

def odds(confusion):
    return confusion.sum() / confusion.sum(1).double()

def first_only(confusion):
    return float(confusion[1, 1] / confusion[1].sum())

@hookimpl
def register_metrics(register):
    for name in ("constant_one", "odds", "first_only"):
        register(Component(name, f"{__name__}:{name}", "A metric"))

class Forgetful(torch.optim.Optimizer):
    def __init__(self, groups, lr, own_rate):
        super().__init__(groups, {"lr": lr})
        self.velocity, self.own_rate = {}, own_rate

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                v = self.velocity[p] = 0.9 * self.velocity.get(p, 0) + p.grad
                p.sub_(v, alpha=0.01 if self.own_rate else group["lr"])

def forgetful(groups, *, lr):
    return Forgetful(groups, lr, False)

def wilful(groups, *, lr):
    return Forgetful(groups, lr, True)

@hookimpl
def register_optimizers(register):
    for name in ("forgetful", "wilful"):
        register(Component(name, f"{__name__}:{name}", "An optimizer"))

asked = []

def counting(t):
    asked.append(t)
    return 1 / len(asked)

@hookimpl
def register_schedules(register):
    register(Component("counting", f"{__name__}:counting", "A schedule"))
    register(Component("never", f"{__name__}:constant_zero", "A schedule"))

def constant_zero(t):
    return 0.0

class Raw:
    def __init__(self, tilt=True):
        self.tilt = tilt

    def read_geometry(self, path):
        return (5, 6, 7), self.read(path, None).affine, True

    def read(self, path, dtype):
        data = np.frombuffer(path.read_bytes()[:128].ljust(128), np.float64).reshape(4, 4).copy()
        rest = np.frombuffer(path.read_bytes()[128:].ljust(840, b"\\0")[:840], np.float32)
        if not self.tilt:
            data[:3, :3] = np.where(abs(data[:3, :3]) == abs(data[:3, :3]).max(0), data[:3, :3], 0)
        return Stored(rest.reshape(5, 6, 7).astype(dtype or np.float32), data)

    def write(self, path, array, affine, header):
        path.write_bytes(np.asarray(affine, np.float64).tobytes() + array.astype(np.float32).tobytes())

def straight():
    return Raw(False)

@hookimpl
def register_readers(register):
    register(Component("raw", f"{__name__}:Raw", "A reader", suffixes=(".raw9",)))
    register(Component("straight", f"{__name__}:straight", "A reader", suffixes=(".raw8",)))

def greedy(indices, affine, scheme, classes):
    indices[...] = np.where(indices > 0, 1, 0)
    return Cleaned(indices, "done")

def rightmost(indices, affine, scheme):
    result = indices.copy()
    result[:1] = 0
    return Cleaned(result, "done")

@hookimpl
def register_cleanup_steps(register):
    register(Component("greedy", f"{__name__}:greedy", "A step", OfClasses))
    register(Component("rightmost", f"{__name__}:rightmost", "A step"))

class Meddler:
    def __init__(self, run, echo):
        self.run, self.seen = run, 0

    def attach(self, trainer):
        from spine_ignite.training.events import TrainingEvents
        trainer.add_event_handler(TrainingEvents.RECORDED, self)

    def __call__(self, trainer):
        self.seen += 1
        (self.run.directory.root / "seen.txt").write_text(str(self.seen))
        if type(self) is Meddler:
            next(self.run.network.parameters()).data.mul_(1.01)

class Amnesiac(Meddler):
    pass

class Hasty(Meddler):
    def attach(self, trainer):
        self.run.directory.root.mkdir(parents=True, exist_ok=True)
        (self.run.directory.root / "hasty.txt").write_text("here already")

@hookimpl
def register_trackers(register):
    for name in ("Meddler", "Amnesiac", "Hasty"):
        register(Component(name.lower(), f"{__name__}:{name}", "A tracker"))

@click.command()
@click.argument("file")
def curt(file):
    open(file)

@hookimpl
def register_commands(register):
    register(Component("curt", f"{__name__}:curt", "A command"))
"""

Kit = type[ComponentConformance]
CASES: list[tuple[Kit, str, Callable[[Any], Any], str]] = [
    (LossConformance, "wordy", lambda kit: kit.test_it_says_what_it_is_in_one_line(), "more than one line"),
    (
        LossConformance,
        "wordy",
        lambda kit: kit.test_its_options_are_described_and_no_others_taken(),
        "option 'width' has no description",
    ),
    (LossConformance, "deaf", lambda kit: kit.test_listing_it_imports_nothing_heavy(), "imports torch"),
    (
        LossConformance,
        "each_pixel",
        lambda kit: kit.test_it_is_a_finite_number_with_finite_gradients(2, 1, False),
        "it must be one number",
    ),
    (
        LossConformance,
        "log_of_zero",
        lambda kit: kit.test_it_is_a_finite_number_with_finite_gradients(2, 1, False),
        "around 10000 is inf",
    ),
    (LossConformance, "upside_down", lambda kit: kit.test_right_answers_cost_less(), "right, undecided and wrong"),
    (LossConformance, "upside_down", lambda kit: kit.test_descending_it_finds_the_labels(), "of the pixels are right"),
    (
        LossConformance,
        "in_place",
        lambda kit: kit.test_it_depends_on_its_arguments_alone_and_leaves_them(),
        "two calls differ|changes the logits",
    ),
    (
        LossConformance,
        "counts_ignored",
        lambda kit: kit.test_labels_that_are_known_in_part(),
        "that are to be ignored have a gradient",
    ),
    (LossConformance, "deaf", lambda kit: kit.test_weights_of_classes(), "a weight of 9 changes nothing"),
    (MetricConformance, "constant_one", lambda kit: kit.test_it_tells_right_from_wrong(), "both give 1"),
    (
        MetricConformance,
        "odds",
        lambda kit: kit.test_a_structure_that_is_nowhere_makes_nothing_infinite(),
        "odds.* is infinite",
    ),
    (
        MetricConformance,
        "first_only",
        lambda kit: kit.test_it_does_not_know_the_structures_by_their_places(),
        "before the structures changed places",
    ),
    (
        OptimizerConformance,
        "forgetful",
        lambda kit: kit.test_it_goes_on_from_its_state_as_if_it_had_never_stopped(),
        "not all that it remembers",
    ),
    (OptimizerConformance, "wilful", lambda kit: kit.test_the_rate_is_that_of_the_group(), "a rate of 0 is moved"),
    (OptimizerConformance, "forgetful", lambda kit: kit.test_weights_decay_in_their_group(), "with decay and"),
    (
        ScheduleConformance,
        "counting",
        lambda kit: kit.test_it_is_a_factor_that_depends_on_the_progress_alone(),
        "depends on what was asked before",
    ),
    (
        ScheduleConformance,
        "never",
        lambda kit: kit.test_it_is_a_factor_that_depends_on_the_progress_alone(),
        "the rate is 0 throughout",
    ),
    (
        CleanupConformance,
        "greedy",
        lambda kit: kit.test_it_leaves_its_input_and_depends_on_nothing_else(),
        "changes the array that it is given",
    ),
    (
        CleanupConformance,
        "greedy",
        lambda kit: kit.test_only_the_structures_that_are_named_are_cleaned(),
        "changes those of index",
    ),
    (
        CleanupConformance,
        "rightmost",
        lambda kit: kit.test_the_order_of_axes_in_the_file_changes_nothing(),
        "axes in another order give another result",
    ),
    (CommandConformance, "curt", lambda kit: kit.test_its_help_has_an_example(), "says nothing about itself"),
]


@pytest.fixture(autouse=True)
def bad(install: Callable[..., Path]) -> None:
    install("acme-bad", BAD, groups=["spine_ignite", "spine_ignite.commands"])


def named(kit: Kit, name: str) -> Any:
    return type("Kit", (kit,), {"name": name})()


@pytest.mark.parametrize(("kit", "name", "check", "message"), CASES, ids=[f"{c[1]}-{n}" for n, c in enumerate(CASES)])
def test_the_kit_finds_the_fault(kit: Kit, name: str, check: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(named(kit, name))


def test_a_command_that_fails_by_a_traceback_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit = named(CommandConformance, "curt")
    with pytest.raises(AssertionError, match="raise a SpineIgniteError instead"):
        kit.test_a_file_that_is_missing_is_told_in_a_sentence(tmp_path, capsys)


def test_readers_that_lose_a_tilt_or_believe_anything_are_found(tmp_path: Path) -> None:
    straight, raw = named(ReaderConformance, "straight"), named(ReaderConformance, "raw")
    straight.test_a_volume_is_read_as_it_was(tmp_path, "PSR", np.float32)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        straight.test_a_volume_is_read_as_it_was(tmp_path, "ASL", np.float32)
    raw.test_a_volume_is_read_as_it_was(tmp_path, "ASL", np.float32)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        raw.test_what_is_no_such_file_is_refused_by_its_name(tmp_path)


class TestTrackersThatMeddle(TrackerConformance):
    """Each check is turned into its opposite."""

    name = "meddler"
    files: ClassVar[tuple[str, ...]] = ("seen.txt",)

    def test_training_with_it_is_training_as_ever(self, phantoms: Path, network: str, tmp_path: Path) -> None:
        with pytest.raises(AssertionError, match="changes what is trained"):
            super().test_training_with_it_is_training_as_ever(phantoms, network, tmp_path)

    def test_a_run_that_goes_on_ends_as_one_that_never_stopped(
        self, phantoms: Path, network: str, tmp_path: Path
    ) -> None:
        amnesiac = type("Kit", (TrackerConformance,), {"name": "amnesiac", "files": self.files})()
        with pytest.raises(AssertionError, match="seen.txt of a run that was resumed differs"):
            amnesiac.test_a_run_that_goes_on_ends_as_one_that_never_stopped(phantoms, network, tmp_path)

    def test_a_run_that_is_refused_leaves_nothing(self, phantoms: Path, network: str, tmp_path: Path) -> None:
        hasty = type("Kit", (TrackerConformance,), {"name": "hasty"})()
        with pytest.raises(AssertionError, match="left .*hasty.txt"):
            hasty.test_a_run_that_is_refused_leaves_nothing(phantoms, network, tmp_path)

    def test_it_says_what_it_is_in_one_line(self) -> None:
        """What is wrong with it is another thing."""
        super().test_it_says_what_it_is_in_one_line()

    def test_listing_it_imports_nothing_heavy(self) -> None:
        with pytest.raises(AssertionError, match="imports torch"):
            super().test_listing_it_imports_nothing_heavy()


def test_the_small_network_is_there_for_a_block_alone() -> None:
    from spine_ignite.registry import load_registry

    with small_network() as name:
        assert load_registry().find(name).distribution.name == "spine-ignite-testing"
    assert name not in {item.value.name for item in load_registry().models()}
