from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from torch import Tensor, nn

from spine_ignite.config import load_config
from spine_ignite.errors import RunError
from spine_ignite.losses.criterion import Criterion
from spine_ignite.losses.dice import dice_ce
from spine_ignite.machine.precision import choose_precision
from spine_ignite.spec import Aux, ModelOutput
from spine_ignite.training import setup
from spine_ignite.training.contract import Contract
from spine_ignite.training.evaluator import create_evaluator
from spine_ignite.training.run import train
from spine_ignite.training.step import UpdateStep
from spine_ignite.training.trainer import Trainer
from spine_ignite.tuning.dry_run import dry_run

CPU = torch.device("cpu")
CLASSES = 3
CONTRACT = Contract("acmenet", "acme-nets 2.5", CLASSES)
BATCHES = [
    {"image": torch.randn(2, 1, 16, 12), "label": torch.randint(0, CLASSES, (2, 16, 12), dtype=torch.uint8)}
    for _ in range(4)
]


class Net(nn.Module):
    """A network whose logits are changed by a function before they are returned."""

    def __init__(self, change: Callable[[Tensor], Any] = lambda logits: logits) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, CLASSES, 1))
        self.change = change

    def forward(self, image: Tensor) -> Any:
        return self.change(self.body(image))


class Unused(Net):
    def __init__(self, frozen: bool = False) -> None:
        super().__init__()
        self.spare = nn.Linear(5, 2).requires_grad_(not frozen)


class Skipping(Net):
    """Half of the blocks are left out at random."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Conv2d(CLASSES, CLASSES, 1) for _ in range(8))
        self.norm = nn.BatchNorm2d(CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.norm(self.body(image))
        for block in self.blocks:
            if torch.rand(()) < 0.5:
                logits = logits + block(logits)
        return logits


def step_of(network: nn.Module, contract: Contract | None = CONTRACT, **options: Any) -> UpdateStep:
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    precision = choose_precision("fp32", CPU)
    return UpdateStep(
        network, optimizer, Criterion(dice_ce(CLASSES)), device=CPU, precision=precision, contract=contract, **options
    )


def run(network: nn.Module, contract: Contract | None = CONTRACT, **options: Any) -> Engine:
    trainer = Trainer(step_of(network, contract, **options))
    trainer.run(BATCHES, max_epochs=2)
    return trainer


def with_aux(deep: Callable[[Tensor], Any], **parts: Any) -> Net:
    return Net(lambda x: ModelOutput(x, aux={"deep": deep(x)}, **parts))


def small_and_positive() -> Net:
    """What a network may start with: hardly any weight in its last layer, and a bias."""
    network = Net()
    last = network.body[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    nn.init.constant_(last.bias, 0.5)
    nn.init.normal_(last.weight, std=1e-3)
    return network


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Net(lambda x: (x, x)), "it must return logits, or a ModelOutput in training of shape (2, 3, 16, 12), and "),
        (Net(lambda x: (x, x)), "and returns a tuple of 2"),
        (Net(lambda x: {"out": x}), "and returns a dict"),
        (Net(lambda x: x[:, :2]), "and returns (2, 2, 16, 12)"),
        (Net(lambda x: x[..., ::2, ::2]), "and returns (2, 3, 8, 6)"),
        (Net(lambda x: x.mean(1)), "and returns (2, 16, 12)"),
        (Net(lambda x: x.long()), "in floating point, and returns torch.int64"),
        (Net(lambda x: x.softmax(1)), "returns probabilities (over the classes they add up to 1 at every pixel)"),
        (Net(lambda x: x.softmax(1).bfloat16()), "returns probabilities (over the classes they add up to 1"),
        (Net(lambda x: x.sigmoid()), "returns probabilities (all lie between 0 and 1, whatever its weights are)"),
        (
            Net(lambda x: x / (x < 0)),
            "numbers in the logits are not finite for a batch of shape (2, 1, 16, 12), which is",
        ),
        (with_aux(lambda x: Aux(x * math.nan, 1.0)), "the 1152 numbers in the auxiliary logits 'deep' are not finite"),
        (Net(lambda x: ModelOutput(x, penalties={"p": x.mean() / 0})), "the penalty 'p' is not finite for a batch"),
        (Net(lambda x: x.detach()), "its logits are cut off from its parameters"),
        (Net(lambda x: ModelOutput(x.softmax(1))), "returns probabilities"),
        (Net(lambda x: ModelOutput((x, x))), "a ModelOutput with logits of shape (2, 3, 16, 12), and returns a tuple"),
        (with_aux(lambda x: x), "'deep' must be an Aux with a tensor, and are a tensor of shape (2, 3, 16, 12)"),
        (with_aux(lambda x: Aux(x[:, :2], 1.0)), "'deep' must have shape (2, 3, h, w), and have (2, 2, 16, 12)"),
        (with_aux(lambda x: Aux(x, 1.0, "edge")), "'deep' must have shape (2, 1, h, w), and have (2, 3, 16, 12)"),
        (Net(lambda x: ModelOutput(x, penalties={"p": x})), "the penalty 'p' must be one number, and is a tensor of"),
        (Net(lambda x: x.view(7, -1)), "fails on a batch of shape (2, 1, 16, 12): RuntimeError: shape '[7, -1]' is "),
        (Unused(), "its parameters spare.weight, spare.bias have no part in its output, and would never be trained"),
    ],
)
def test_what_breaks_the_contract_is_named_with_its_plugin(network: nn.Module, message: str) -> None:
    with pytest.raises(RunError) as caught:
        run(network)
    assert message in str(caught.value)
    assert str(caught.value).startswith("model 'acmenet' of acme-nets 2.5 ")


@pytest.mark.parametrize(
    "network",
    [
        Net(),
        Unused(frozen=True),
        Skipping(),
        small_and_positive(),
        Net(lambda x: 0 * x),
        Net(lambda x: x.log_softmax(1)),
        Net(lambda x: x.relu()),
        with_aux(lambda x: Aux(x[..., ::2, ::2], 0.0)),
        with_aux(lambda x: Aux(x[:, :1], 1.0, "edge")),
        Net(lambda x: ModelOutput(x, penalties={"p": x.square().mean()})),
    ],
)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_what_keeps_the_contract_is_trained_as_without_it(network: nn.Module, accumulate: int) -> None:
    states = []
    start = {name: value.clone() for name, value in network.state_dict().items()}
    for contract in (CONTRACT, None):
        network.load_state_dict(start)
        random.seed(0)
        trainer = run(network, contract, accumulate=accumulate)
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        assert trainer.state.iteration == 8
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_the_first_batch_alone_is_looked_at() -> None:
    step = step_of(Net())
    Trainer(step).run(BATCHES[:1], max_epochs=1)
    assert step.contract is None


class OnlyInEvaluation(Net):
    def forward(self, image: Tensor) -> Any:
        return self.body(image) if self.training else self.change(self.body(image))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.softmax(1), "it must return logits, and returns probabilities (over the classes they add up to 1"),
        (
            lambda x: ModelOutput(x),
            "it must return logits in evaluation mode of shape (2, 3, 16, 12), and returns a Mod",
        ),
        (lambda x: x[:, :2], "and returns (2, 2, 16, 12)"),
    ],
)
def test_evaluation_mode_has_the_contract_too(change: Callable[[Tensor], Any], message: str) -> None:
    network = OnlyInEvaluation(change)
    run(network)
    precision = choose_precision("fp32", CPU)
    evaluator = create_evaluator(network, ["a", "b", "c"], device=CPU, precision=precision, contract=CONTRACT)
    with pytest.raises(RunError) as caught:
        evaluator.run(BATCHES)
    assert message in str(caught.value)


@pytest.mark.parametrize("begin", [train, dry_run])
def test_a_run_names_the_plugin(
    begin: Callable[..., Any], tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Probabilities(nn.Module):
        def __init__(self, in_channels: int, num_classes: int) -> None:
            super().__init__()
            self.layer = nn.Conv2d(in_channels, num_classes, 1)

        def forward(self, image: Tensor) -> Tensor:
            return self.layer(image).softmax(1)

    monkeypatch.setattr(setup, "create_model", lambda _name, channels, classes, **_: Probabilities(channels, classes))
    config = load_config(
        None,
        [
            f"data.root={tiny_dataset}",
            f"data.cache={tmp_path / 'cache'}",
            "data.scheme=lumbar-vertebrae",
            "data.batch_size=2",
            "train.epochs=1",
            "device=cpu",
        ],
    )
    with pytest.raises(RunError, match=r"model 'unet' of spine-ignite-unet [\d.]+ breaks the model contract"):
        begin(config, tmp_path / "run", echo=lambda _line: None)
