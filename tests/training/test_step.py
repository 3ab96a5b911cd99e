from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from ignite.engine import Engine
from torch import Tensor, nn

from spine_ignite.config import LossConfig
from spine_ignite.losses.criterion import create_loss
from spine_ignite.machine.precision import Precision, choose_precision
from spine_ignite.spec import Aux, ModelOutput
from spine_ignite.training.evaluator import create_evaluator
from spine_ignite.training.step import UpdateStep
from spine_ignite.training.trainer import Trainer

CPU = torch.device("cpu")
Batch = dict[str, Tensor]


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(dropout), nn.ReLU(), nn.Conv2d(4, 3, 1))


def batches(count: int, size: int = 2) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "image": torch.randn(size, 1, 8, 8, generator=generator),
            "label": torch.randint(0, 3, (size, 8, 8), generator=generator, dtype=torch.uint8),
        }
        for _ in range(count)
    ]


def trainer(
    net: nn.Module,
    accumulate: int = 1,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    augment: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]] | None = None,
    lr: float = 0.1,
) -> Engine:
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    # Cross-entropy is a mean over pixels, so that batches add up.
    step = UpdateStep(
        net,
        optimizer,
        create_loss(LossConfig(name="ce"), 3),
        device=CPU,
        precision=choose_precision("fp32", CPU),
        accumulate=accumulate,
        clip_norm=clip_norm,
        clip_value=clip_value,
        augment=augment,
    )
    return Trainer(step)


def weights(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_accumulated_steps_equal_one_large_batch_also_at_the_end_of_an_epoch() -> None:
    data = batches(5)
    small, large = network(), network()
    trainer(small, accumulate=2).run(data, max_epochs=1)
    groups = [data[0:2], data[2:4], data[4:5]]
    merged = [{k: torch.cat([b[k] for b in group]) for k in ("image", "label")} for group in groups]
    trainer(large).run(merged, max_epochs=1)
    torch.testing.assert_close(weights(small), weights(large), rtol=1e-5, atol=1e-6)


def test_the_gradient_norm_is_clipped() -> None:
    before, after = network(), network()
    trainer(after, clip_norm=0.01, lr=1.0).run(batches(1), max_epochs=1)
    assert float((weights(after) - weights(before)).norm()) == pytest.approx(0.01, rel=1e-3)


def test_each_derivative_is_clipped_and_the_norm_after_it() -> None:
    """Against a gradient that is clamped by hand; with both limits the norm is that of what is left."""
    data, free = batches(1), network()
    nn.functional.cross_entropy(free(data[0]["image"]), data[0]["label"].long()).backward()
    gradient = torch.cat([p.grad.flatten() for p in free.parameters() if p.grad is not None])
    limit = float(gradient.abs().median())
    clamped = gradient.clamp(-limit, limit)
    assert not torch.equal(clamped, gradient)
    for clip_norm, expected in ((None, clamped), (0.01, 0.01 * clamped / clamped.norm())):
        net = network()
        before = weights(net)
        engine = trainer(net, clip_norm=clip_norm, clip_value=limit, lr=1.0)
        engine.run(data, max_epochs=1)
        torch.testing.assert_close(before - weights(net), expected, rtol=1e-3, atol=1e-6)
        assert float(engine.state.output["gradient_norm"]) == pytest.approx(float(gradient.norm()), rel=1e-4)


def test_scaled_gradients_are_unscaled_before_they_are_clipped() -> None:
    """The float16 path, on a CPU: the same clipped step as without a scaler, to float16's rounding of the forward."""
    plain, scaled = network(), network()
    trainer(plain, clip_norm=0.01, lr=1.0).run(batches(1), max_epochs=1)
    before = weights(scaled)
    half = Precision(torch.float16, "cpu", "to test the scaler")
    step = UpdateStep(
        scaled,
        torch.optim.SGD(scaled.parameters(), lr=1.0),
        create_loss(LossConfig(name="ce"), 3),
        device=CPU,
        precision=half,
        clip_norm=0.01,
    )
    Trainer(step).run(batches(1), max_epochs=1)
    assert step.scaler.is_enabled()
    torch.testing.assert_close(weights(scaled) - before, weights(plain) - before, rtol=0.05, atol=1e-4)


def test_the_scaler_skips_a_step_whose_gradient_overflows() -> None:
    net = network()
    before = weights(net)
    step = UpdateStep(
        net,
        torch.optim.SGD(net.parameters(), lr=1.0),
        create_loss(LossConfig(name="ce"), 3),
        device=CPU,
        precision=Precision(torch.float16, "cpu", "to test the scaler"),
        clip_norm=1.0,
    )
    scale = step.scaler.get_scale()
    data = batches(1)
    data[0]["image"] *= 1e30  # infinite in float16
    Trainer(step).run(data, max_epochs=1)
    assert torch.equal(weights(net), before)
    assert step.scaler.get_scale() < scale


def test_a_step_tells_its_loss_and_parts_without_a_graph() -> None:
    class Supervised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, image: Tensor) -> ModelOutput:
            logits = self.inner(image)
            return ModelOutput(logits, {"half": Aux(logits[..., ::2, ::2], 0.5)})

    engine = trainer(Supervised())
    engine.run(batches(1), max_epochs=1)
    output = engine.state.output
    assert output["samples"] == 2
    assert output["parts"].keys() == {"main", "aux/half"}
    assert not any(value.requires_grad for value in (output["loss"], *output["parts"].values()))


def test_a_step_does_not_depend_on_the_random_numbers_drawn_before_it() -> None:
    first, second = network(dropout=0.5), network(dropout=0.5)
    trainer(first).run(batches(3), max_epochs=1)
    torch.rand(1000)
    trainer(second).run(batches(3), max_epochs=1)
    assert torch.equal(weights(first), weights(second))


def test_augmentation_reaches_training_and_nothing_else() -> None:
    """The evaluator of a network that is trained with augmentation sees the batches as they are."""
    seen: list[int] = []

    def augment(image: Tensor, label: Tensor, iteration: int) -> tuple[Tensor, Tensor]:
        seen.append(iteration)
        return image + 100, label

    net = network()
    trainer(net, augment=augment).run(batches(3), max_epochs=2)
    assert seen == [1, 2, 3, 4, 5, 6]
    evaluator = create_evaluator(net, ["background", "a", "b"], device=CPU, precision=choose_precision("fp32", CPU))
    data = batches(2)
    evaluator.run(data)
    assert len(seen) == 6
    with torch.no_grad():
        expected = torch.cat([net(b["image"]).argmax(1) for b in data])
    label = torch.cat([b["label"] for b in data]).long()
    matrix = torch.zeros(3, 3, dtype=torch.int64)
    matrix.index_put_((label.flatten(), expected.flatten()), torch.ones(label.numel(), dtype=torch.int64), True)
    assert torch.equal(evaluator.state.metrics["confusion"].long(), matrix)
    assert torch.equal(evaluator.state.output["image"], data[-1]["image"])


def test_bfloat16_training_stays_close_to_float32() -> None:
    ends = []
    for name in ("fp32", "bf16"):
        net = network()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
        criterion = create_loss(LossConfig(), 3)
        step = UpdateStep(net, optimizer, criterion, device=CPU, precision=choose_precision(name, CPU))
        Trainer(step).run(batches(10), max_epochs=1)
        assert all(p.dtype is torch.float32 for p in net.parameters())
        ends.append(weights(net))
    assert float((ends[0] - ends[1]).norm() / ends[0].norm()) < 0.02
