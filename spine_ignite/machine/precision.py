"""Which device and which arithmetic a run uses, and why."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from spine_ignite.errors import RunError, UsageError


@dataclass(frozen=True, slots=True)
class Precision:
    """The arithmetic of the forward pass; weights, losses and metrics stay in float32.

    Args:
        dtype: of autocast, or float32.
        device_type: ``cpu``, ``cuda`` or ``mps``.
        reason: why, in a few words.
    """

    dtype: torch.dtype
    device_type: str
    reason: str

    @property
    def name(self) -> str:
        """``fp32``, ``bf16`` or ``fp16``."""
        return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.dtype]

    @property
    def scales_gradients(self) -> bool:
        """Whether gradients need a scaler, as float16's do."""
        return self.dtype is torch.float16

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context of the forward pass."""
        context: AbstractContextManager[None] = torch.autocast(
            self.device_type, self.dtype, enabled=self.dtype is not torch.float32
        )
        return context


def choose_device(name: str, local: int = 0, local_count: int = 1) -> torch.device:
    """Return the device of this name; ``auto`` takes a GPU if there is one.

    Args:
        name: as configured.
        local: number of this process on its machine, of several that work together: each has a GPU of its own.
        local_count: how many they are there.

    Raises:
        UsageError: no such kind of device, or one GPU for several processes.
        RunError: it is not there.
    """
    if local_count > 1 and (name.startswith("cuda") or (name == "auto" and torch.cuda.is_available())):
        return _own_gpu(name, local, local_count)
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device '{name}' does not exist; use auto, cpu, cuda, cuda:1 or mps") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"device '{name}' is not supported; use auto, cpu, cuda, cuda:1 or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise RunError(f"device '{name}' is not there: torch sees {count} CUDA devices; use device=cpu or auto")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise RunError("device 'mps' is not there; use device=cpu or auto")
    return device


def _own_gpu(name: str, local: int, local_count: int) -> torch.device:
    if ":" in name:
        raise UsageError(f"device {name} is one GPU, and {local_count} processes run here; use cuda, auto or cpu")
    there = torch.cuda.device_count()
    if there == 1:  # a scheduler shows each process its own
        return torch.device("cuda", 0)
    if there < local_count:
        raise RunError(
            f"{local_count} processes run here, and torch sees {there} CUDA devices; start as many processes as "
            "there are GPUs, or use device=cpu"
        )
    return torch.device("cuda", local)


def choose_precision(name: str, device: torch.device) -> Precision:
    """Return the arithmetic for a device; ``auto`` takes bfloat16 where the device computes it fast.

    Raises:
        UsageError: float16 without a CUDA GPU; its gradients need a scaler, which not every torch has elsewhere.
    """
    kind = device.type
    if name == "fp32":
        return Precision(torch.float32, kind, "as asked")
    if name == "bf16":
        return Precision(torch.bfloat16, kind, "as asked")
    if name == "fp16":
        if kind != "cuda":
            raise UsageError(f"precision fp16 needs a GPU with CUDA; on {kind} use bf16, fp32 or auto")
        return Precision(torch.float16, kind, "as asked, with gradient scaling")
    if kind == "cuda":
        with torch.cuda.device(device):  # the query is about the current one
            supported = torch.cuda.is_bf16_supported(including_emulation=False)
        if supported:
            return Precision(torch.bfloat16, kind, "the GPU computes bfloat16")
        return Precision(torch.float32, kind, "the GPU has no bfloat16")
    if kind == "cpu":
        feature = _bf16_feature()
        if feature:
            return Precision(torch.bfloat16, kind, f"the processor has {feature}")
        return Precision(torch.float32, kind, "the processor has neither AMX nor AVX512-bf16")
    return Precision(torch.float32, kind, "the safe choice on this device")


def _bf16_feature() -> str | None:
    """Name the processor's bfloat16 instructions; asks the system where this torch has no answer of its own."""
    for name, flag, feature in (
        ("_is_amx_tile_supported", "amx_bf16", "AMX"),
        ("_is_avx512_bf16_supported", "avx512_bf16", "AVX512-bf16"),
    ):
        supported = getattr(torch.cpu, name, None)
        if supported() if supported is not None else flag in _processor_flags():
            return feature
    return None


def _processor_flags() -> set[str]:
    """What Linux lists of the first processor; nothing on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())
