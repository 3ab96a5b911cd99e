"""What a computation ran on: on the same kind of machine it gives the same bits."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

# What bits depend on; the name of the processor is for people.
KIND = ("architecture", "capability", "threads", "device", "gpu", "precision", "torch")


def describe_hardware(device: torch.device, precision: str) -> dict[str, Any]:
    """Return what this process computes with, as plain data.

    Args:
        device: where networks are.
        precision: ``fp32``, ``bf16`` or ``fp16``.
    """
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "precision": precision,
        "torch": str(torch.__version__),
    }


def other_kind(then: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Say how two machines differ in what bits depend on; None if they do not."""
    differing = [name for name in KIND if then.get(name) != now.get(name)]
    return ", ".join(f"{name} {then.get(name)} then and {now.get(name)} now" for name in differing) or None


def _processor() -> str:
    """The processor's name as Linux gives it; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
