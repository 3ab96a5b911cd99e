from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spine_ignite.config import LossConfig
from spine_ignite.losses.criterion import create_loss
from spine_ignite.machine.precision import choose_precision
from spine_ignite.training.evaluator import create_evaluator

CPU = torch.device("cpu")
NAMES = ["background", "L5", "L4"]
FP32 = choose_precision("fp32", CPU)


class Oracle(nn.Module):
    """Answers with the class that the image itself shows; wrong, noisily, while it is in training mode."""

    def forward(self, image: Tensor) -> Tensor:
        logits = 20 * nn.functional.one_hot(image[:, 0].long(), 3).permute(0, 3, 1, 2).float()
        return -logits if self.training else logits


def batch(label: Tensor) -> dict[str, Tensor]:
    return {"image": label[:, None].float(), "label": label.to(torch.uint8)}


def test_pixels_are_counted_over_all_batches_whatever_their_size() -> None:
    """Two batches of different size and content: an average of per-batch Dice would be another number."""
    first = torch.zeros(3, 8, 8)
    first[:, :4] = 1
    second = torch.zeros(1, 8, 8)
    wrong = {"image": torch.ones(1, 1, 8, 8), "label": second.to(torch.uint8)}
    evaluator = create_evaluator(Oracle(), NAMES, device=CPU, precision=FP32)
    metrics = evaluator.run([batch(first), wrong]).metrics
    tp, fp = 96, 64
    assert metrics["dice/L5"] == pytest.approx(2 * tp / (2 * tp + fp))
    assert metrics["dice"] == metrics["dice/L5"]  # L4 is nowhere
    assert metrics["fpr/L5"] == pytest.approx(fp / 160)
    assert metrics["pixel_accuracy"] == pytest.approx(192 / 256)
    assert metrics["classes"] == 1
    assert metrics["confusion"].tolist() == [[96, 64, 0], [0, 96, 0], [0, 0, 0]]


def test_each_run_starts_from_nothing_and_tells_the_loss() -> None:
    criterion = create_loss(LossConfig(), 3)
    evaluator = create_evaluator(Oracle().train(), NAMES, device=CPU, precision=FP32, criterion=criterion)
    data = [batch(torch.randint(0, 3, (2, 8, 8), generator=torch.Generator().manual_seed(k))) for k in range(2)]
    first = dict(evaluator.run(data).metrics)
    second = evaluator.run(data).metrics
    assert first["confusion"].sum() == second["confusion"].sum() == 2 * 2 * 64
    assert second["dice"] == 1.0
    assert second["loss"] == pytest.approx(0.0, abs=1e-4)


def test_bfloat16_gives_the_same_prediction_and_a_float32_loss() -> None:
    torch.manual_seed(0)
    net = nn.Conv2d(1, 3, 1)
    data = [batch(torch.randint(0, 3, (2, 8, 8), generator=torch.Generator().manual_seed(5)))]
    results = {}
    for name in ("fp32", "bf16"):
        evaluator = create_evaluator(
            net,
            NAMES,
            device=CPU,
            precision=choose_precision(name, CPU),
            channels_last=name == "bf16",
            criterion=create_loss(LossConfig(), 3),
        )
        results[name] = evaluator.run(data)
        assert not evaluator.state.output["prediction"].requires_grad
    assert torch.equal(results["fp32"].metrics["confusion"], results["bf16"].metrics["confusion"])
    assert results["bf16"].output["loss"].dtype is torch.float32
    assert results["bf16"].metrics["loss"] == pytest.approx(results["fp32"].metrics["loss"], rel=0.02)


def test_what_a_row_does_not_label_counts_neither_way() -> None:
    """The first row labels L5 alone, the second all: L4 is judged by the second, and nothing by ignored pixels."""
    image = torch.tensor([[[1.0, 2, 0, 0]], [[1, 2, 2, 0]]])
    label = torch.tensor([[[1, 0, 0, 255]], [[1, 2, 0, 255]]], dtype=torch.uint8)
    data = {"image": image[:, None], "label": label, "labelled": torch.tensor([[True, True, False], [True] * 3])}
    evaluator = create_evaluator(
        Oracle(), NAMES, device=CPU, precision=FP32, criterion=create_loss(LossConfig(), 3, partial=True), partial=True
    )
    metrics = evaluator.run([data]).metrics
    assert metrics["confusion"].tolist() == [[1, 0, 1], [0, 2, 0], [0, 0, 1]]
    assert metrics["dice/L5"] == 1.0
    data["label"] = torch.tensor([[[1, 0, 0, 255]], [[1, 2, 2, 255]]], dtype=torch.uint8)
    assert evaluator.run([data]).metrics["loss"] == pytest.approx(0.0, abs=1e-4), "right wherever it can be judged"
