from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spine_ignite.config import LossConfig
from spine_ignite.errors import RunError, UsageError
from spine_ignite.losses.criterion import create_loss
from spine_ignite.machine import precision
from spine_ignite.machine.precision import choose_device, choose_precision
from spine_ignite.models import create_model
from spine_ignite.nn.blocks import Norm, make_norm

CPU = torch.device("cpu")


def test_auto_takes_bfloat16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_bf16_feature", lambda: "AMX")
    chosen = choose_precision("auto", CPU)
    assert (chosen.name, chosen.reason) == ("bf16", "the processor has AMX")
    monkeypatch.setattr(precision, "_bf16_feature", lambda: None)
    assert choose_precision("auto", CPU).name == "fp32"


def test_the_processor_s_answer_is_that_of_the_operating_system() -> None:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = file.read()
    except OSError:
        flags = ""
    if flags:
        assert (precision._bf16_feature() is not None) == ("amx_bf16" in flags or "avx512_bf16" in flags)


@pytest.mark.parametrize(
    ("flags", "feature"),
    [({"avx2", "amx_bf16", "avx512_bf16"}, "AMX"), ({"avx512_bf16"}, "AVX512-bf16"), ({"avx2"}, None)],
)
def test_the_system_is_asked_where_torch_has_no_answer(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], feature: str | None
) -> None:
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    monkeypatch.setattr(precision, "_processor_flags", lambda: flags)
    assert precision._bf16_feature() == feature


def test_autocast_computes_in_the_chosen_type() -> None:
    conv = torch.nn.Conv2d(1, 1, 3)
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with choose_precision(name, CPU).autocast():
            assert conv(torch.zeros(1, 1, 4, 4)).dtype is dtype


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("cuda:99", RunError, "device 'cuda:99' is not there: torch sees"),
        ("gpu", UsageError, "device 'gpu' does not exist"),
        ("meta", UsageError, "device 'meta' is not supported"),
    ],
)
def test_a_device_that_is_not_there_is_refused(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        choose_device(name)


@pytest.mark.parametrize("kind", ["cpu", "mps"])
def test_float16_needs_cuda(kind: str) -> None:
    with pytest.raises(UsageError, match=f"precision fp16 needs a GPU with CUDA; on {kind} use"):
        choose_precision("fp16", torch.device(kind))
    assert choose_precision("fp16", torch.device("cuda")).scales_gradients


class Watch(TorchDispatchMode):
    """Notes the type of what each softmax is given, as it is computed; the fused kernel keeps its own in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.dtype] = []
        self.fused = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "softmax" in func.name():
            self.seen.append(args[0].dtype)
        self.fused += "scaled_dot_product" in func.name()
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("model", ["ann", "ccnet", "danet", "emanet", "ocnet", "psanet"])
def test_attention_logits_stay_in_float32_under_bfloat16(model: str) -> None:
    network = create_model(model, 1, 3, backbone="resnet18", channels=16)
    with choose_precision("bf16", CPU).autocast(), Watch() as watch:
        network(torch.randn(2, 1, 64, 64))
    assert watch.seen or watch.fused
    assert all(dtype is torch.float32 for dtype in watch.seen), watch.seen


@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
def test_the_norms_statistics_stay_in_float32_under_bfloat16(norm: Norm) -> None:
    """A mean of 64 with a deviation of 1: sums of bfloat16 numbers would lose it all."""
    x = (64 + torch.randn(2, 8, 40, 40, generator=torch.Generator().manual_seed(0))).bfloat16()
    layer = make_norm(norm, 8)
    with choose_precision("bf16", CPU).autocast():
        found = layer(x)
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.float(), make_norm(norm, 8)(x.float()), rtol=2**-7, atol=2**-7)
    if isinstance(layer, torch.nn.BatchNorm2d):
        assert layer.running_var is not None
        assert layer.running_var.dtype is torch.float32
        torch.testing.assert_close(layer.running_mean, 0.1 * x.float().mean((0, 2, 3)))
        torch.testing.assert_close(layer.running_var, 0.9 + 0.1 * x.float().var((0, 2, 3)))


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_the_loss_and_the_weights_stay_in_float32(name: str) -> None:
    conv = torch.nn.Conv2d(1, 3, 1)
    with choose_precision(name, CPU).autocast():
        logits = conv(torch.randn(1, 1, 8, 8))
    loss = create_loss(LossConfig(), 3)(logits, torch.zeros(1, 8, 8, dtype=torch.uint8)).total
    loss.backward()
    assert loss.dtype is torch.float32
    assert conv.weight.grad is not None
    assert conv.weight.dtype is conv.weight.grad.dtype is torch.float32
