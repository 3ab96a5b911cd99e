from __future__ import annotations

import pytest
import torch

from spine_ignite.engines import precision
from spine_ignite.engines.precision import choose_device, choose_precision
from spine_ignite.errors import RunError, UsageError

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
